"""Real scheduler processes for tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """A `python -m scheduler` of the test's own."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scheduler"],
                cwd=ROOT,
                env=environ,
                stdout=output,
                stderr=output,
            )

    def says(self) -> str:
        return self._log.read_text()

    def ends(self, within: float = 15) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(within)


@pytest.fixture
def a_running_scheduler(
    environ: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., Process]]:
    """Start a real scheduler and wait until it keeps time; settings as in the environment."""
    processes: list[Process] = []

    def start(**settings: Any) -> Process:
        chosen = {name.upper(): str(value) for name, value in settings.items()}
        log = tmp_path / f"scheduler-{len(processes)}.log"
        processes.append(Process(environ | chosen, log))
        eventually(lambda: "keeps time" in processes[-1].says(), within=20)
        return processes[-1]

    yield start
    for each in processes:
        each.process.terminate()
    for each in processes:
        try:
            each.ends()
        finally:
            each.process.kill()
