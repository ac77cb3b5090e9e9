"""What a scenario is: a question put to each of its systems in turn, and the sizes it is put at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.crew import Crew
from benchmarks.stage import Place, Stage
from benchmarks.systems.system import System

Measured = Mapping[str, float]  # figure → value


@dataclass(frozen=True)
class Sizes:
    """How much of everything; `TINY` only shows that the harness works."""

    submit_seconds: float = 3
    run_seconds: float = 3
    latency_seconds: float = 10
    warm_up: int = 200  # tasks before each measurement
    batches: int = 20
    drain: Mapping[str, int] | None = None  # tasks by system, about four seconds of each
    drain_default: int = 20_000
    protected: int = 60_000
    sleepers: int = 12_000
    waits: int = 60
    idle_seconds: float = 10
    finished_rows: int = 5_000_000
    pending_rows: int = 500_000
    queries: int = 24  # of each kind

    def drained(self, system: System) -> int:
        return (self.drain or {}).get(system.key, self.drain_default)


SLOWER = {"fastapi-celery-2": 2000, "celery": 5000, "rq": 2500}
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
    waits=4,
    idle_seconds=0.5,
    finished_rows=2000,
    pending_rows=500,
    queries=2,
)


@dataclass(frozen=True)
class Scenario:
    """One question; `measure` is one system's turn at it."""

    key: str
    title: str
    systems: Sequence[System]
    measure: Callable[[Stage, System, Sizes], Measured]


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
