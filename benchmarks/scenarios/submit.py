"""How many single submissions are accepted while no worker runs."""

from __future__ import annotations

from benchmarks.crew import Crew
from benchmarks.load import post
from benchmarks.scenarios.scenario import InTurn, Measured, Sizes, cost
from benchmarks.stage import Stage
from benchmarks.systems.service import Service
from benchmarks.systems.stacks import FastApiCelery, FlaskRq
from benchmarks.systems.system import System
from dev.servers import free_port


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    port = free_port()
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        crew.start(system.web(place, port))
        crew.until_answers(port, "/")
        post(port, system.submission(), seconds=min(1, sizes.submit_seconds))
        stage.settle()
        before = crew.cpu()
        seen = post(port, system.submission(), seconds=sizes.submit_seconds)
        spent = cost(before, crew.cpu(), seen.answers)
    return {
        "accepted_per_s": seen.rate,
        "p50_ms": seen.p50_ms,
        "p99_ms": seen.p99_ms,
        **spent,
        "cpu_client": 1000 * seen.cpu_seconds / seen.answers,
    }


SUBMIT = InTurn(
    "submit",
    "Single submissions, 16 connections, workers off",
    [Service(), FastApiCelery(1), FastApiCelery(2), FlaskRq()],
    measure,
)
