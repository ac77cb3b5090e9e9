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
    gentle: bool = False  # asked for in order: it must cost no task an attempt
    only_named: bool = False  # too long for every run

    def __str__(self) -> str:
        return f"{self.place}: {self.name}"


def fault(place: str, name: str, seconds: float, **more: bool) -> Callable[[Deed], Deed]:
    """Add a function to the table of faults; `more` are further fields of `Fault`."""

    def enter(deed: Deed) -> Deed:
        TABLE.append(Fault(place, name, seconds, deed, **more))
        return deed

    return enter


TABLE: list[Fault] = []
