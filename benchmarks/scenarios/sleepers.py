"""How many tasks that only wait one worker runs at a time: 200 of 50 ms, ideally 4,000 a second."""

from __future__ import annotations

from benchmarks.crew import Crew
from benchmarks.scenarios.drain import drained, start_web
from benchmarks.scenarios.scenario import InTurn, Measured, Sizes
from benchmarks.stage import Stage
from benchmarks.systems.service import Service
from benchmarks.systems.system import System

SECONDS, AT_A_TIME, HORSES = 0.05, 200, 2
IDEAL = AT_A_TIME / SECONDS


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    assert isinstance(system, Service)
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        port = start_web(crew, system, place)
        system.submit_batches(port, sizes.sleepers, kind="bench.sleep", seconds=SECONDS)
        stage.settle()
        crew.start(system.workers(place))
        figures = drained(crew, system, place, sizes.sleepers)
    return {**figures, "share_of_ideal": figures["tasks_per_s"] / IDEAL}


SLEEPERS = InTurn(
    "sleepers",
    f"Tasks that wait {SECONDS * 1000:.0f} ms, {AT_A_TIME} at a time in one worker",
    [Service(WORKER_CONCURRENCY=str(HORSES), WORKER_THREADS=str(AT_A_TIME // HORSES))],
    measure,
)
