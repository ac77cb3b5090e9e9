"""How fast waiting tasks are run, and recorded by those who keep a record.

The clock starts when a tenth of the tasks has run, so that nobody's start-up counts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.crew import Crew
from benchmarks.scenarios.scenario import InTurn, Measured, Sizes, cost, until_recorded
from benchmarks.stage import Place, Stage
from benchmarks.systems.queues import Celery, Dramatiq, Oban, PgQueuer, Rq
from benchmarks.systems.service import Service
from benchmarks.systems.stacks import FastApiCelery
from benchmarks.systems.system import System
from dev.servers import free_port

KILOBYTE = "x" * 1000


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    count = sizes.drained(system)
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        empty = place.redis_bytes()
        fill(crew, system, place, count)
        waiting = place.redis_bytes()
        stage.settle()
        crew.start(system.workers(place))
        figures = drained(crew, system, place, count)
    return {**figures, "redis_bytes_per_pending": max(0.0, (waiting - empty) / count)}


def measure_kilobytes(stage: Stage, system: System, sizes: Sizes) -> Measured:
    assert isinstance(system, Service)
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        port = start_web(crew, system, place)
        count = sizes.drained(system)
        system.submit_batches(port, count, kind="bench.echo", text=KILOBYTE)
        stage.settle()
        crew.start(system.workers(place))
        return drained(crew, system, place, count)


def fill(crew: Crew, system: System, place: Place, count: int) -> None:
    """Make the tasks: the service over HTTP, with all but its worker running, as it would be."""
    if isinstance(system, Service):
        system.submit_batches(start_web(crew, system, place), count)
    else:
        system.fill(place, count)


def start_web(crew: Crew, service: Service, place: Place) -> int:
    port = free_port()
    crew.start(service.web(place, port))
    crew.until_answers(port, "/")
    return port


def drained(crew: Crew, system: System, place: Place, count: int) -> dict[str, float]:
    """Watch the workers from a tenth of the tasks to the last one."""
    crew.until(lambda: place.executed() >= count // 10, "a tenth drained")
    begun, started = place.executed(), time.perf_counter()
    before = crew.cpu()
    ended = until_recorded(crew, system, place, count)
    return {
        "tasks_per_s": (count - begun) / (ended - started),
        **cost(before, crew.cpu(), count - begun),
    }


SYSTEMS: Sequence[System] = [
    Service(), FastApiCelery(2), Celery(), Dramatiq(), Oban(), PgQueuer(), Rq(),
]  # fmt: skip
DRAIN = InTurn("drain", "Draining no-op tasks", SYSTEMS, measure)
KILOBYTES = InTurn(
    "kilobytes", "Draining tasks with 1 kB of payload and of result", [Service()], measure_kilobytes
)
