"""The processes of one system in its turn; they end with the harness, however that ends."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import Self

from benchmarks.stage import Stage
from benchmarks.usage import cpu_seconds, memory_bytes, running_seconds
from dev.leash import Leash


class NotReady(Exception):
    """Something did not happen in time; the message says what, and the last lines of the logs."""


@dataclass(frozen=True)
class Program:
    """One process to start; `role` says on whose account its CPU time goes."""

    role: str  # "API", "worker", "scheduler"
    command: Sequence[str | Path]
    env: Mapping[str, str]
    folder: Path


@dataclass
class Crew:
    """Started programs, their logs and what they cost."""

    stage: Stage
    name: str
    _leashes: list[tuple[str, Leash]] = field(default_factory=list)
    _logs: list[Path] = field(default_factory=list)

    def start(self, programs: Sequence[Program]) -> None:
        for program in programs:
            program.folder.mkdir(parents=True, exist_ok=True)
            log = self.stage.folder / f"{self.name}-{program.role}-{len(self._logs)}.log"
            with log.open("wb") as output:
                leash = Leash(
                    program.command,
                    env=program.env,
                    folder=program.folder,
                    output=output,
                    stop_signal=SIGKILL,  # after a measurement nobody needs its manners
                )
            self._leashes.append((program.role, leash))
            self._logs.append(log)

    def stop(self) -> None:
        for _, leash in self._leashes:
            leash.ask_to_stop()
        for _, leash in self._leashes:
            leash.stop()
        self._leashes = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.stop()
        if isinstance(error, Exception) and not isinstance(error, NotReady):
            error.add_note(self.last_words())

    def processes(self) -> dict[str, list[int]]:
        """Process ids by role, the servers included."""
        found: dict[str, list[int]] = {}
        for role, leash in self._leashes:
            found.setdefault(role, []).extend(leash.processes())
        return found | self.stage.processes()

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far, by role."""
        return {role: cpu_seconds(pids) for role, pids in self.processes().items()}

    def running(self) -> dict[str, float]:
        """CPU seconds by role, of what hardly runs: see `running_seconds`."""
        return {role: running_seconds(pids) for role, pids in self.processes().items()}

    def memory(self) -> dict[str, int]:
        return {role: memory_bytes(pids) for role, pids in self.processes().items()}

    def until(self, condition: Callable[[], bool], what: str, within: float = 60) -> float:
        """Wait for it, closely watched; return the moment it was true."""
        deadline = time.perf_counter() + within
        while not condition():
            if dead := [role for role, leash in self._leashes if not leash.running]:
                raise NotReady(f"{self.name}: {dead[0]} ended before {what}. {self.last_words()}")
            if time.perf_counter() > deadline:
                raise NotReady(f"{self.name}: not {what} in {within} seconds. {self.last_words()}")
            time.sleep(WATCH_EVERY)
        return time.perf_counter()

    def until_answers(self, port: int, path: str) -> None:
        """Wait until the web processes take requests."""

        def answers() -> bool:
            with suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", path)
                return connection.getresponse().status < 500
            return False

        self.until(answers, "answering")

    def last_words(self) -> str:
        texts = [log.read_text(errors="replace") for log in self._logs]
        lines = [line for text in texts for line in text.splitlines()[-8:]]
        return "\n".join(["Its last words:", *lines])


WATCH_EVERY = 0.005  # seconds: a look at a file's size costs a few microseconds
