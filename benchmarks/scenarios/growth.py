"""How everything goes once 5,000,000 tasks have finished and 500,000 wait on another queue name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks.crew import Crew
from benchmarks.grown import grow
from benchmarks.queries import look
from benchmarks.scenarios.drain import start_web
from benchmarks.scenarios.scenario import Measured, SideBySide, Sizes
from benchmarks.scenarios.sides import Side, done, submitted
from benchmarks.scenarios.sleepers import AT_A_TIME, HORSES
from benchmarks.stage import Place, Stage
from benchmarks.systems.service import Service, migrated
from benchmarks.systems.system import System

SETTINGS = {
    "WORKER_QUEUES": "default",  # the backlog only stands there
    "WORKER_CONCURRENCY": str(HORSES),
    "WORKER_THREADS": str(AT_A_TIME // HORSES),
}


class Lasting(Service):
    """The service on tables that stay from round to round."""

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)
        self._place: Place | None = None

    @contextmanager
    def place(self, stage: Stage) -> Iterator[Place]:
        if self._place is None:
            self._place = stage.lasting(self.key, migrated(stage))
        yield self._place


class Grown(Lasting):
    """The same on tables that are filled before the first round."""

    key = "service-grown"
    title = "the same on grown tables"

    def grow(self, stage: Stage, sizes: Sizes) -> None:
        if self._place is None:
            with self.place(stage) as place:
                grow(place, sizes.finished_rows, sizes.pending_rows)
            self.title = (
                f"on {sizes.finished_rows:,} finished and {sizes.pending_rows:,} pending rows"
            )


@contextmanager
def side(stage: Stage, service: Service, sizes: Sizes) -> Iterator[Side]:
    """A service with its web process and its scheduler."""
    with service.place(stage) as place, Crew(stage, service.key) as crew:
        yield Side(crew, service, place, start_web(crew, service, place), sizes)


def measure(stage: Stage, systems: Sequence[System], sizes: Sizes) -> Sequence[Measured]:
    services = [each for each in systems if isinstance(each, Service)]
    for each in services:
        if isinstance(each, Grown):
            each.grow(stage, sizes)
    with ExitStack() as open_sides:
        sides = [open_sides.enter_context(side(stage, each, sizes)) for each in services]
        submissions = submitted(sides, sizes)
        stage.settle()
        ran = done(sides, sizes)
        stage.settle()
        waited = [{**each.lone(), **each.woken()} for each in sides]
        looked = [
            look(each.port, sizes.queries) if isinstance(each.service, Grown) else {}
            for each in sides
        ]
    return [
        {**first, **second, **third, **fourth}
        for first, second, third, fourth in zip(submissions, ran, waited, looked, strict=True)
    ]


GROWTH = SideBySide(
    "growth",
    "The same with 5,000,000 finished and 500,000 pending rows",
    [Lasting(**SETTINGS), Grown(**SETTINGS)],
    measure,
)
