"""Which faults, in which order, for how long: drawn from the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from chaos.faults import TABLE, Fault

PAUSE = 2.0  # seconds of peace after a fault, in which the service begins to recover
MEASURED = 0.15  # share of the time for faults that strike a calm service, each alone
MIXED = 0.1  # … in which faults overlap
LEADS = ("workers: kill -9", "postgres: kill -9 of the postmaster", "redis: FLUSHALL")

# What recovery is measured with, by names, as far as the time goes.
ALONE = (
    "workers: kill -9, busy",
    "horses: kill -9",
    "postgres: restart, fast",
    "workers: kill -9, busy",
    "postgres: restart, immediate",
    "workers: kill -9, busy",
)
EVERY_FIGURE = (
    *ALONE[:4],
    "redis: FLUSHALL with 50,000 pending",
    "workers: 100 rolling restarts",
)


@dataclass(frozen=True)
class Plan:
    """One run."""

    measured: Sequence[Fault] = field(default=())  # one by one, each begins and ends in calm
    singles: Sequence[Fault] = field(default=())  # one by one
    mixed_seconds: float = 0.0
    calm: float = 0.0  # seconds until the service is calm after one of the first
    minutes: float = 0.0  # that were asked for

    @property
    def seconds(self) -> float:
        measured = sum(fault.seconds + self.calm for fault in self.measured)
        singles = sum(fault.seconds + PAUSE for fault in self.singles)
        return measured + singles + self.mixed_seconds


def draw(seed: int, minutes: float, faults: Sequence[Fault] = TABLE, *, calm: float = 0.0) -> Plan:
    """Some faults measured, others in random order as far as the time goes, the rest mixed.

    When there is time for each, each comes once; else the most telling come first. `calm` is how
    many seconds a service needs to calm down; without it nothing is measured.
    """
    chance = Random(f"{seed}/plan")
    seconds = minutes * 60
    measured = as_time_allows(named(ALONE, faults), seconds * MEASURED, calm) if calm else []
    left = seconds * (1 - MIXED) - sum(fault.seconds + calm for fault in measured)
    order = list(faults)
    chance.shuffle(order)
    order.sort(key=lambda fault: not str(fault).startswith(LEADS))
    singles = as_time_allows(order, left, PAUSE)
    chance.shuffle(singles)
    return Plan(measured, singles, seconds * MIXED, calm, minutes)


def every_figure(faults: Sequence[Fault], calm: float) -> Plan:
    """Nothing but what is measured, all of it."""
    return Plan(named(EVERY_FIGURE, faults), calm=calm)


def named(names: Sequence[str], faults: Sequence[Fault]) -> list[Fault]:
    known = {str(fault): fault for fault in faults}
    return [known[name] for name in names if name in known]


def as_time_allows(faults: Sequence[Fault], seconds: float, pause: float) -> list[Fault]:
    """Those that fit, the first ones first."""
    found = []
    for fault in faults:
        if fault.seconds + pause <= seconds:
            found.append(fault)
            seconds -= fault.seconds + pause
    return found
