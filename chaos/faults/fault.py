"""A fault: something breaks, for a while or for good, while the load goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaos.scene import Scene

Deed = Callable[[Scene], None]


@dataclass(frozen=True)
class Fault:
    """What breaks, and how long that takes."""

    place: str  # what it happens to: faults of different places may happen together
    name: str
    seconds: float  # roughly, on an idle machine
    strike: Deed  # returns when all is as before, or a process is dead
    alone: bool = False  # never together with others
    service_only: bool = False  # it looks into what only this service has

    def __str__(self) -> str:
        return f"{self.place}: {self.name}"


def fault(
    place: str, name: str, seconds: float, *, alone: bool = False, service_only: bool = False
) -> Callable[[Deed], Deed]:
    """Add a function to the table of faults."""

    def enter(deed: Deed) -> Deed:
        TABLE.append(Fault(place, name, seconds, deed, alone, service_only))
        return deed

    return enter


TABLE: list[Fault] = []
