"""How fast tasks are submitted, run and recorded, from the first request to the last task."""

from __future__ import annotations

from benchmarks.crew import Crew
from benchmarks.load import post
from benchmarks.scenarios.scenario import InTurn, Measured, Sizes, cost, until_recorded
from benchmarks.stage import Stage
from benchmarks.systems.service import Service
from benchmarks.systems.stacks import FastApiCelery, FlaskRq
from benchmarks.systems.system import System
from dev.servers import free_port


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    port = free_port()
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        crew.start([*system.web(place, port), *system.workers(place)])
        crew.until_answers(port, "/")
        post(port, system.submission(), requests=sizes.warm_up)
        until_recorded(crew, system, place, sizes.warm_up)
        stage.settle()
        before = crew.cpu()
        seen = post(port, system.submission(), seconds=sizes.run_seconds)
        ended = until_recorded(crew, system, place, sizes.warm_up + seen.answers)
        spent = cost(before, crew.cpu(), seen.answers)
    return {
        "tasks_per_s": seen.answers / (ended - seen.begun),
        "accepted_per_s": seen.rate,
        "p50_ms": seen.p50_ms,
        "p99_ms": seen.p99_ms,
        **spent,
    }


RUN = InTurn(
    "run",
    "Submitted one by one with 16 connections, run and recorded, to the last task",
    [Service(), FastApiCelery(2), FlaskRq()],
    measure,
)
