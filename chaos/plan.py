"""Which faults, in which order, for how long: drawn from the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from chaos.faults import TABLE, Fault

PAUSE = 2.5  # seconds of peace after a fault, in which the service recovers
MIXED = 0.15  # share of the time in which faults overlap
LEADS = ("workers: kill -9", "postgres: kill -9 of the postmaster", "redis: FLUSHALL")


@dataclass(frozen=True)
class Plan:
    """One run."""

    singles: Sequence[Fault]
    mixed_seconds: float

    @property
    def seconds(self) -> float:
        return sum(fault.seconds + PAUSE for fault in self.singles) + self.mixed_seconds


def draw(seed: int, minutes: float, faults: Sequence[Fault] = TABLE) -> Plan:
    """Faults in random order as far as the time goes, and the rest of the time mixed.

    When there is time for each, each comes once; else the most telling come first.
    """
    chance = Random(f"{seed}/plan")
    order = list(faults)
    chance.shuffle(order)
    order.sort(key=lambda fault: not str(fault).startswith(LEADS))
    singles: list[Fault] = []
    left = minutes * 60 * (1 - MIXED)
    for fault in order:
        if fault.seconds + PAUSE <= left:
            singles.append(fault)
            left -= fault.seconds + PAUSE
    chance.shuffle(singles)
    return Plan(singles, minutes * 60 * MIXED)
