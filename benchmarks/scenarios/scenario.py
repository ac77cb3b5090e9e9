"""What a scenario is: a question put to each of its systems in turn, and the sizes it is put at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.crew import Crew
from benchmarks.stage import Place, Stage
from benchmarks.systems.system import System

Measured = Mapping[str, float]  # figure → value


@dataclass(frozen=True)
class Sizes:
    """How much of everything; `TINY` only shows that the harness works."""

    submit_seconds: float = 2
    run_seconds: float = 2
    latency_seconds: float = 8
    warm_up: int = 200  # tasks before each measurement
    batches: int = 20
    drain: Mapping[str, int] | None = None  # tasks by system, about four seconds of each
    drain_default: int = 20_000
    protected: int = 20_000
    sleepers: int = 10_000
    moments: int = 6  # of each side, measured side by side; twice as many of batches
    moment_seconds: float = 0.5
    moment_batches: int = 4
    moment_drain: int = 4000
    moment_sleepers: int = 2000
    waits: int = 40
    idle_seconds: float = 6
    finished_rows: int = 5_000_000
    pending_rows: int = 500_000
    queries: int = 21  # of each kind

    def drained(self, system: System) -> int:
        return (self.drain or {}).get(system.key, self.drain_default)


SLOWER = {
    "fastapi-celery-2": 800,
    "rq": 800,
    "celery": 2000,
    "dramatiq": 10_000,
    "oban": 10_000,
    "pgqueuer": 10_000,
}
FULL = Sizes(drain=SLOWER)
TINY = Sizes(
    submit_seconds=0.3,
    run_seconds=0.3,
    latency_seconds=1.5,
    warm_up=20,
    batches=2,
    drain_default=200,
    protected=400,
    sleepers=400,
    moments=2,
    moment_seconds=0.2,
    moment_batches=2,
    moment_drain=100,
    moment_sleepers=200,
    waits=4,
    idle_seconds=0.5,
    finished_rows=2000,
    pending_rows=500,
    queries=2,
)


@dataclass(frozen=True)
class Scenario(ABC):
    """One question, put to each of its systems in every round."""

    key: str
    title: str
    systems: Sequence[System]

    @abstractmethod
    def turns(self, systems: Sequence[System]) -> Sequence[Sequence[System]]:
        """Who has a turn together, of these."""

    @abstractmethod
    def take(self, stage: Stage, systems: Sequence[System], sizes: Sizes) -> Sequence[Measured]:
        """One turn: what was measured of each system in it."""


@dataclass(frozen=True)
class InTurn(Scenario):
    """Every system has the machine for itself; `measure` is the turn of one."""

    measure: Callable[[Stage, System, Sizes], Measured]

    def turns(self, systems: Sequence[System]) -> Sequence[Sequence[System]]:
        return [[each] for each in systems]

    def take(self, stage: Stage, systems: Sequence[System], sizes: Sizes) -> Sequence[Measured]:
        return [self.measure(stage, each, sizes) for each in systems]


@dataclass(frozen=True)
class SideBySide(Scenario):
    """All systems are up at once and have moments in turn, for differences below the noise."""

    measure: Callable[[Stage, Sequence[System], Sizes], Sequence[Measured]]

    def turns(self, systems: Sequence[System]) -> Sequence[Sequence[System]]:
        return [systems]

    def take(self, stage: Stage, systems: Sequence[System], sizes: Sizes) -> Sequence[Measured]:
        return self.measure(stage, systems, sizes)


def cost(before: Mapping[str, float], after: Mapping[str, float], tasks: int) -> dict[str, float]:
    """CPU seconds per 1,000 tasks, by role."""
    return {
        f"cpu_{role}": 1000 * (seconds - before.get(role, 0.0)) / tasks
        for role, seconds in after.items()
    }


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def until_recorded(
    crew: Crew, system: System, place: Place, count: int, within: float = 120
) -> float:
    """Wait until so many tasks have run and are on record; return the moment."""
    crew.until(lambda: place.executed() >= count, f"{count} tasks executed", within)
    return crew.until(lambda: system.recorded(place) >= count, f"{count} tasks recorded", within)
