"""How everything goes once 5,000,000 tasks have finished and 500,000 wait on another queue name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from benchmarks.crew import Crew
from benchmarks.grown import grow
from benchmarks.load import post
from benchmarks.queries import look
from benchmarks.scenarios.drain import start_web
from benchmarks.scenarios.latency import RATE
from benchmarks.scenarios.scenario import Measured, Scenario, Sizes, percentile
from benchmarks.scenarios.sleepers import AT_A_TIME, HORSES, SECONDS
from benchmarks.scenarios.wake import waits
from benchmarks.stage import Place, Stage
from benchmarks.systems.service import LARGEST_BATCH, Service, migrated
from benchmarks.systems.system import System

SETTINGS = {
    "WORKER_QUEUES": "default",  # the backlog only stands there
    "WORKER_CONCURRENCY": str(HORSES),
    "WORKER_THREADS": str(AT_A_TIME // HORSES),
}
CALM = 0.05  # CPU seconds in a second


class GrownService(Service):
    """The service on tables that were filled once and stay filled from turn to turn."""

    key = "service-grown"
    title = "the same on grown tables"

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)
        self._grown: Place | None = None

    def grow(self, stage: Stage, sizes: Sizes) -> None:
        if self._grown is None:
            url = stage.postgres.create("grown", migrated(stage))
            ticks = stage.ticks("grown")
            self._grown = Place(url, stage.redis.url_of(1), ticks, stage.folder)
            grow(self._grown, sizes.finished_rows, sizes.pending_rows)
            self.title = (
                f"on {sizes.finished_rows:,} finished and {sizes.pending_rows:,} pending rows"
            )

    @contextmanager
    def place(self, stage: Stage) -> Iterator[Place]:
        assert self._grown is not None
        ticks = stage.ticks("grown")
        try:
            yield replace(self._grown, ticks=ticks)
        finally:
            ticks.unlink()


@dataclass
class Turn:
    """One system's turn: its web process runs first, its worker later."""

    crew: Crew
    service: Service
    place: Place
    port: int
    sizes: Sizes
    expected: int = 0  # handlers that will have run

    def submit(self) -> Measured:
        """Singles and batches, while no worker runs."""
        single = self.service.submission()
        post(self.port, single, seconds=min(1, self.sizes.submit_seconds))
        self.crew.stage.settle()
        singles = post(self.port, single, seconds=self.sizes.submit_seconds)
        batch = self.service.batch()
        batches = post(self.port, batch, connections=4, requests=2 * self.sizes.batches)
        return {
            "accepted_per_s": singles.rate,
            "batch_accepted_per_s": batches.rate * LARGEST_BATCH,
        }

    def drain(self) -> Measured:
        """What was submitted, once the worker has started."""
        self.crew.stage.settle()
        count = unfinished(self.place)
        self.crew.start(self.service.workers(self.place))
        return {"tasks_per_s": self.drained(count)}

    def run(self) -> Measured:
        """Singles with the worker, to the last task."""
        seen = post(self.port, self.service.submission(), seconds=self.sizes.run_seconds)
        return {"run_per_s": seen.answers / (self.recorded(seen.answers) - seen.begun)}

    def sleep(self) -> Measured:
        """Tasks that only wait, submitted in batches meanwhile."""
        count = self.sizes.sleepers // 2
        self.service.submit_batches(self.port, count, kind="bench.sleep", seconds=SECONDS)
        return {"sleepers_per_s": self.drained(count)}

    def lone(self) -> Measured:
        """One after the other: from created to finished, and from the end to the answer."""
        self.crew.stage.settle()
        seconds = 0.4 * self.sizes.latency_seconds
        seen = post(self.port, self.service.submission(), rate=RATE, seconds=seconds)
        self.recorded(seen.answers)
        rows = self.place.query(NEWEST, seen.answers)
        took = [each for (each,) in rows]
        woken = waits(self.port, self.service, max(1, self.sizes.waits // 6))
        return {
            "p50_ms": 1000 * percentile(took, 0.5),
            "p99_ms": 1000 * percentile(took, 0.99),
            "woken_p50_ms": 1000 * percentile(woken, 0.5),
        }

    def drained(self, count: int) -> float:
        """Tasks a second, from a tenth of so many to the last one."""
        before = self.expected
        self.crew.until(
            lambda: self.place.executed() >= before + count // 10, "a tenth drained", within=120
        )
        begun, started = self.place.executed(), time.perf_counter()
        return (before + count - begun) / (self.recorded(count) - started)

    def recorded(self, count: int) -> float:
        """Wait until so many more tasks have run and are on record; return the moment."""
        self.expected += count
        self.crew.until(
            lambda: self.place.executed() >= self.expected, f"{count} tasks executed", within=120
        )
        return self.crew.until(lambda: unfinished(self.place) == 0, f"{count} tasks recorded")


NEWEST = """
SELECT extract(epoch FROM finished_at - created_at)::float8 FROM tasks ORDER BY id DESC LIMIT %s
"""


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    assert isinstance(system, Service)
    if isinstance(system, GrownService):
        system.grow(stage, sizes)
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        spent = vacuum(place)
        turn = Turn(crew, system, place, start_web(crew, system, place), sizes)
        until_calm(crew)
        figures = {**turn.submit(), **turn.drain(), **turn.run(), **turn.sleep(), **turn.lone()}
        if not isinstance(system, GrownService):
            return figures
        looks = look(turn.port, sizes.queries)
    slowest = max(looks.values())
    return {**figures, "vacuum_seconds": spent, "slowest_query_p95_ms": slowest, **looks}


def vacuum(place: Place) -> float:
    """Clear away what the turn before left, so that no measurement pays for it; seconds."""
    begun = time.perf_counter()
    for table in ("tasks", "attempts"):
        place.query(f"VACUUM (ANALYZE) {table}")
    return time.perf_counter() - begun


def until_calm(crew: Crew) -> None:
    """Let the new scheduler compare the backlog with Redis, which it does once in its life."""

    def calm() -> bool:
        before = crew.cpu()["scheduler"]
        time.sleep(1)
        return crew.cpu()["scheduler"] - before < CALM

    crew.until(calm, "a calm scheduler", within=120)


def unfinished(place: Place) -> int:
    """Tasks that are not finished, the backlog left out."""
    ((count,),) = place.query(
        "SELECT (SELECT count(*) FROM tasks WHERE status = 'pending' AND queue_name = 'default')"
        " + (SELECT count(*) FROM tasks WHERE status = 'running')"
    )
    return int(count)


GROWTH = Scenario(
    "growth",
    "The same with 5,000,000 finished and 500,000 pending rows",
    [Service(**SETTINGS), GrownService(**SETTINGS)],
    measure,
)
