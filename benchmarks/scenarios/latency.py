"""How long a task takes from created to finished when there is little to do: 20 a second."""

from __future__ import annotations

from benchmarks.crew import Crew
from benchmarks.load import post
from benchmarks.scenarios.scenario import InTurn, Measured, Sizes, percentile, until_recorded
from benchmarks.stage import Stage
from benchmarks.systems.service import Service
from benchmarks.systems.stacks import FastApiCelery
from benchmarks.systems.system import System
from dev.servers import free_port

RATE = 20


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    port = free_port()
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        crew.start([*system.web(place, port), *system.workers(place)])
        crew.until_answers(port, "/")
        post(port, system.submission(), connections=4, requests=sizes.warm_up)
        until_recorded(crew, system, place, sizes.warm_up)
        stage.settle()
        seen = post(port, system.submission(), rate=RATE, seconds=sizes.latency_seconds)
        until_recorded(crew, system, place, sizes.warm_up + seen.answers)
        started, finished = zip(*system.latencies(place)[sizes.warm_up :], strict=True)
    took = {f"p{share}_ms": 1000 * percentile(finished, share / 100) for share in (50, 95, 99)}
    return {**took, "started_p50_ms": 1000 * percentile(started, 0.5)}


LATENCY = InTurn(
    "latency",
    f"From created to finished at {RATE} submissions a second",
    [Service(), FastApiCelery(2)],
    measure,
)
