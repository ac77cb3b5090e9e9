"""What a fault may touch, and how it waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from chaos.crew import Crew, Member, Role
from chaos.executions import under_way
from chaos.ledger import Ledger
from chaos.network import Link
from chaos.stage import Stage


class Stopped(Exception):
    """The run is over; faults heal what they broke and end."""


@dataclass
class Scene:
    """A running system, and chance."""

    stage: Stage
    crew: Crew
    front: Link
    chance: Random
    lease: float
    ledger: Ledger
    over: threading.Event = field(default_factory=threading.Event)
    notes: list[str] = field(default_factory=list)  # what faults have to say, for the report
    measured: dict[str, float] = field(default_factory=dict)  # what faults measured themselves
    kills: list[tuple[int, float]] = field(default_factory=list)  # of horses: pid, when
    struck_at: float | None = None  # since when the rest has to do without what was struck

    def linger(self, seconds: float) -> None:
        """Let time pass; at the end of the run, raise `Stopped`."""
        if self.over.wait(seconds):
            raise Stopped

    def struck(self) -> None:
        """One of several has been struck: from now on the others have to recover what it held.

        Without this word recovery counts from the fault's end.
        """
        self.struck_at = time.time()

    def until(self, condition: Callable[[], bool], within: float, every: float = 0.005) -> bool:
        """Wait for a moment, closely watched; whether it came."""
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.linger(every)
        return True

    def until_busy(self, worker: Member, within: float = 3) -> None:
        """Wait until one of its processes is in a handler; go on all the same if none is."""
        file = self.stage.executions
        self.until(lambda: file.exists() and under_way(file, worker.children()), within)

    def a(self, role: Role) -> Member:
        """One process of this role, by chance."""
        return self.chance.choice(self.crew.of(role))

    def a_worker(self) -> Member:
        return self.a(Role.WORKER)
