"""The processes of the system under test, kept running as a platform would keep them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum, auto
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

from chaos.network import Link
from dev.guard import descendants
from dev.leash import Leash

ROOT = Path(__file__).resolve().parent.parent
GRACE = 20.0  # seconds until a process that was told to stop is killed
RESTARTED_AFTER = 0.2  # … until one that ended by itself is started again
GONE_WITHIN = 3.0  # … in which everything below a dead process has to end by itself


class Role(StrEnum):
    WEB = auto()
    WORKER = auto()
    SCHEDULER = auto()


@dataclass
class Member:
    """One process, and its ways to the servers."""

    name: str
    role: Role
    command: str
    env: Mapping[str, str]
    log: Path
    postgres: Link
    redis: Link
    wanted: bool = False
    starts: int = 0
    orphans: list[str] = field(default_factory=list)  # what outlived a death
    reviving: bool = False
    _leash: Leash | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def links(self) -> tuple[Link, Link]:
        return self.postgres, self.redis

    @property
    def pid(self) -> int:
        return self._leash.pid if self._leash else 0

    @property
    def running(self) -> bool:
        return self._leash is not None and self._leash.running

    def children(self) -> list[int]:
        """What the process itself has started: horses, web processes."""
        return descendants(self.pid) if self.running else []

    def start(self) -> None:
        with self._lock:
            self.wanted = True
            if self.running:
                return
            self._clear_away()
            path = f"{Path(sys.executable).parent}:{self.env.get('PATH', '')}"
            with self.log.open("ab") as output:
                self._leash = Leash(
                    ["/bin/sh", "-c", f"exec {self.command}"],
                    env={**self.env, "PATH": path, "PYTHONUNBUFFERED": "1"},
                    folder=ROOT,
                    output=output,
                    grace=GRACE,
                )
            self.starts += 1

    def signal(self, number: Signals) -> None:
        """Send a signal to the process alone."""
        if self._leash is not None:
            with suppress(ProcessLookupError):
                self._leash.signal(number)

    def signal_all(self, number: Signals) -> None:
        if self._leash is not None:
            self._leash.signal_all(number)

    def kill(self) -> None:
        self.signal(SIGKILL)

    def terminate(self) -> None:
        self.signal(SIGTERM)

    @contextmanager
    def paused(self, *, whole: bool = False) -> Iterator[None]:
        """Stop the process where it is, and let it go on; `whole` takes its children along."""
        send = self.signal_all if whole else self.signal
        send(SIGSTOP)
        try:
            yield
        finally:
            send(SIGCONT)

    def until_ended(self, within: float = GRACE) -> bool:
        deadline = time.monotonic() + within
        while self.running and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.running

    def stop(self) -> None:
        """End it in order, and everything below it."""
        with self._lock:
            self.wanted = False
            if self._leash is not None:
                self._leash.signal_all(SIGCONT)
                self._leash.stop()
                self._leash = None

    def revive(self) -> None:
        """Start it again if it ended though it is wanted."""
        try:
            time.sleep(RESTARTED_AFTER)
            with self._lock:
                if self.wanted:
                    self.start()
        finally:
            self.reviving = False

    def _clear_away(self) -> None:
        """See that a death left nothing behind, and remove what it did."""
        if self._leash is None:
            return
        deadline = time.monotonic() + GONE_WITHIN
        while (left := self._leash.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.orphans += [f"{self.name}: process {pid} outlived {self.pid}" for pid in left]
        self._leash.stop()
        self._leash = None


class Crew:
    """All processes of one system."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = list(members)
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="crew", daemon=True)

    def of(self, role: Role) -> list[Member]:
        return [member for member in self.members if member.role is role]

    def start(self) -> None:
        for member in self.members:
            member.start()
        self._keeper.start()

    def stop(self) -> None:
        """End everything, all at once."""
        self._over.set()
        if self._keeper.is_alive():
            self._keeper.join(30)
        enders = [threading.Thread(target=member.stop) for member in self.members]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()

    @contextmanager
    def without(self, *members: Member) -> Iterator[None]:
        """End these in order, and start them again afterwards."""
        for member in members:
            member.wanted = False
            member.terminate()
        for member in members:
            member.until_ended()
        try:
            yield
        finally:
            if not self._over.is_set():
                for member in members:
                    member.start()

    def orphans(self) -> list[str]:
        return [orphan for member in self.members for orphan in member.orphans]

    def _keep(self) -> None:
        while not self._over.wait(0.1):
            for member in self.members:
                if member.wanted and not member.running and not member.reviving:
                    member.reviving = True
                    threading.Thread(target=member.revive, daemon=True).start()
