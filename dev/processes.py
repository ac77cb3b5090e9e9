"""The processes of the Procfile, each on a leash.

honcho reads the Procfile but does not run it here: it kills after five seconds, which cuts short
what a worker may do with its grace, and a `kill -9` of honcho leaves everything behind.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from honcho.environ import parse_procfile

from dev import labelled
from dev.labelled import say
from dev.leash import Leash

ROOT = Path(__file__).resolve().parent.parent
RELEASE = "release"  # runs once, before the others
TOO_SOON = 5  # seconds: what ends within them of a second start will not do better at a third


class ProcessFailed(Exception):
    """A process cannot do its work; the message says which."""


def procfile() -> dict[str, str]:
    """Name and command of each process, in order."""
    return dict(parse_procfile((ROOT / "Procfile").read_text()).processes)


def start(name: str, command: str, env: Mapping[str, str], grace: float = 30) -> Leash:
    """Start one, its output labelled. `python` and the like are those of our own environment."""
    here = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}"}
    leash = Leash(
        ["/bin/sh", "-c", f"exec {command}"],
        env={**env, **here, "PYTHONUNBUFFERED": "1"},
        folder=ROOT,
        output=subprocess.PIPE,
        grace=grace,
    )
    if leash.output:
        labelled.follow(name, leash.output)
    return leash


def migrate(env: Mapping[str, str]) -> None:
    with start(RELEASE, procfile()[RELEASE], env) as release:
        if release.wait(timeout=600) != 0:
            raise ProcessFailed("The migration failed; its output is above.")


class Formation:
    """All processes that stay, while they run."""

    def __init__(self, env: Mapping[str, str], grace: float) -> None:
        self._env, self._grace = env, grace
        self._commands = {name: line for name, line in procfile().items() if name != RELEASE}
        self._running: dict[str, Leash] = {}
        self._started_again: dict[str, float] = {}

    def start(self) -> None:
        for name in self._commands:
            self._start(name)

    def _start(self, name: str) -> None:
        self._running[name] = start(name, self._commands[name], self._env, self._grace)

    def refuse_an_end(self, within: float) -> None:
        """Raise `ProcessFailed` if one ends while they come up."""
        for name, code in self._ended(within):
            raise ProcessFailed(f"{name} ended with exit code {code}; its output is above.")

    def start_again_what_ends(self) -> None:
        """Wait for an end and start that process again; soon after, raise `ProcessFailed`."""
        for name, code in self._ended(None):
            now = time.monotonic()
            if now - self._started_again.get(name, -TOO_SOON) < TOO_SOON:
                raise ProcessFailed(f"{name} ended with exit code {code}; its output is above.")
            self._running[name].stop()  # and what it left behind, which would answer in its place
            say(f"{name} ended with exit code {code}; starting it again.")
            self._started_again[name] = now
            self._start(name)

    def _ended(self, within: float | None) -> list[tuple[str, int]]:
        select.select(list(self._running.values()), [], [], within)
        polled = [(name, leash.poll()) for name, leash in self._running.items()]
        return [(name, code) for name, code in polled if code is not None]

    def stop(self) -> None:
        """Ask all at once, then wait for each."""
        for leash in self._running.values():
            leash.ask_to_stop()
        for leash in self._running.values():
            leash.stop()

    def hurry(self) -> None:
        """Grant nobody more grace."""
        for leash in self._running.values():
            leash.hurry()
