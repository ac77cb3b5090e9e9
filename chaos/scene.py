"""What a fault may touch, and how it waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from chaos.crew import Crew, Member, Role
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
    over: threading.Event = field(default_factory=threading.Event)
    notes: list[str] = field(default_factory=list)  # what faults have to say, for the report

    def linger(self, seconds: float) -> None:
        """Let time pass; at the end of the run, raise `Stopped`."""
        if self.over.wait(seconds):
            raise Stopped

    def until(self, condition: Callable[[], bool], within: float) -> bool:
        """Wait for a moment, closely watched; whether it came."""
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.linger(0.005)
        return True

    def a(self, role: Role) -> Member:
        """One process of this role, by chance."""
        return self.chance.choice(self.crew.of(role))

    def a_worker(self) -> Member:
        return self.a(Role.WORKER)
