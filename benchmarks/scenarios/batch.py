"""How fast tasks in batches of 1,000 are accepted, and are run and recorded to the last one."""

from __future__ import annotations

from benchmarks.crew import Crew
from benchmarks.load import post
from benchmarks.scenarios.scenario import InTurn, Measured, Sizes, cost, until_recorded
from benchmarks.stage import Stage
from benchmarks.systems.service import LARGEST_BATCH, Service
from benchmarks.systems.system import System
from dev.servers import free_port

CONNECTIONS = 4


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    assert isinstance(system, Service)
    return accepted(stage, system, sizes) | to_the_last(stage, system, sizes)


def accepted(stage: Stage, service: Service, sizes: Sizes) -> dict[str, float]:
    """While no worker runs."""
    port = free_port()
    with service.place(stage) as place, Crew(stage, service.key) as crew:
        crew.start(service.web(place, port))
        crew.until_answers(port, "/")
        service.submit_batches(port, 2 * LARGEST_BATCH, connections=CONNECTIONS)
        stage.settle()
        before = crew.cpu()
        seen = post(port, service.batch(), connections=CONNECTIONS, requests=sizes.batches)
        spent = cost(before, crew.cpu(), seen.answers * LARGEST_BATCH)
    return {"accepted_per_s": seen.rate * LARGEST_BATCH, "p50_ms": seen.p50_ms, **spent}


def to_the_last(stage: Stage, service: Service, sizes: Sizes) -> dict[str, float]:
    """While workers run."""
    port, count = free_port(), sizes.batches * LARGEST_BATCH
    with service.place(stage) as place, Crew(stage, service.key) as crew:
        crew.start([*service.web(place, port), *service.workers(place)])
        crew.until_answers(port, "/")
        service.submit_batches(port, sizes.warm_up)
        until_recorded(crew, service, place, sizes.warm_up)
        stage.settle()
        seen = post(port, service.batch(), connections=CONNECTIONS, requests=sizes.batches)
        ended = until_recorded(crew, service, place, sizes.warm_up + count)
    return {"tasks_per_s": count / (ended - seen.begun)}


BATCH = InTurn("batch", "Submitted in batches of 1,000", [Service()], measure)
