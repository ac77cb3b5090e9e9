"""Start a program that cannot outlive the process that started it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import IO, Self

from dev.guard import descendants

GUARD = Path(__file__).with_name("guard.py")


class Leash:
    """One running program, its guard, and everything the program starts.

    `pid` is the program's own; `exit_code` is negative when a signal ended it, as in `subprocess`.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
        output: IO[bytes] | int | None = None,
        stop_signal: Signals = SIGTERM,
        grace: float = 30,
        user: tuple[int, int] | None = None,
        keep_reach: bool = False,
        remove: Path | None = None,
    ) -> None:
        """Start `command`.

        `output` takes standard output and error as `subprocess` does. At `stop`, or when the
        owner dies, the program gets `stop_signal` and `grace` seconds. `user` is the (uid, gid) to
        run as, `keep_reach` lets it through folders of root, `remove` is deleted if the owner dies.
        """
        self.command = [str(part) for part in command]
        self.exit_code: int | None = None
        self.grace = grace
        self._lock = threading.Lock()
        self._report, report = os.pipe()
        order = {
            "owner": os.getpid(),
            "command": self.command,
            "report": report,
            "stop_signal": int(stop_signal),
            "grace": grace,
            "user": user,
            "keep_reach": keep_reach,
            "remove": str(remove) if remove else None,
        }
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", GUARD, json.dumps(order)],
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            pass_fds=[report],
            start_new_session=True,
        )
        os.close(report)
        self.output = self._guard.stdout
        self._told = b""
        self.pid = int(self._next_line() or 0)

    def _next_line(self) -> bytes:
        """Wait for the next thing the guard tells; empty when it has ended."""
        while b"\n" not in self._told:
            piece = os.read(self._report, 64)
            if not piece:
                return b""
            self._told += piece
        line, _, self._told = self._told.partition(b"\n")
        return line

    def poll(self) -> int | None:
        """The program's exit status (negative: the signal that ended it), or None while it runs."""
        with self._lock:
            if self.exit_code is None and select.select([self._report], [], [], 0)[0]:
                line = self._next_line()
                self.exit_code = int(line) if line else self._guard.wait()
            return self.exit_code

    @property
    def running(self) -> bool:
        return self.poll() is None

    def wait(self, timeout: float) -> int:
        """Wait for the program's end, or raise TimeoutError."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.command[0]} still runs after {timeout} seconds")
            select.select([self._report], [], [], left)
        return code

    def signal(self, number: Signals) -> None:
        """Send a signal to the program alone."""
        if self.running:
            os.kill(self.pid, number)

    def signal_all(self, number: Signals) -> None:
        """Send a signal to the program and everything below it."""
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def processes(self) -> list[int]:
        """The program and everything it started, also what it left behind at its end."""
        return descendants(self._guard.pid)

    def kill(self) -> None:
        """kill -9 the program alone; what it leaves behind lives on until `stop`."""
        self.signal(SIGKILL)
        self.wait(timeout=10)

    def fileno(self) -> int:
        """Readable when the program has ended, for `select`."""
        return self._report

    def ask_to_stop(self) -> None:
        """Begin what `stop` finishes."""
        if self._guard.poll() is None:
            self._guard.send_signal(SIGTERM)

    def hurry(self) -> None:
        """Grant the program no more grace."""
        if self._guard.poll() is None:
            self._guard.send_signal(SIGINT)

    def stop(self) -> int:
        """End the program and everything below it; return its exit status."""
        self.ask_to_stop()
        self._guard.wait(timeout=self.grace + 10)
        code = self.poll()
        with self._lock:
            if self._report >= 0:
                os.close(self._report)
                self._report = -1
        return code if code is not None else self._guard.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
