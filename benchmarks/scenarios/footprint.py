"""What the service costs when it has nothing to do: CPU time and memory."""

from __future__ import annotations

import time

from benchmarks.crew import Crew
from benchmarks.load import post
from benchmarks.scenarios.scenario import InTurn, Measured, Sizes, until_recorded
from benchmarks.stage import Stage
from benchmarks.systems.service import Service
from benchmarks.systems.system import System
from benchmarks.usage import memory_bytes
from dev.servers import free_port

MEGABYTE = 1_000_000


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    port = free_port()
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        crew.start([*system.web(place, port), *system.workers(place)])
        crew.until_answers(port, "/")
        post(port, system.submission(), connections=4, requests=5 * sizes.warm_up)
        until_recorded(crew, system, place, 5 * sizes.warm_up)
        stage.settle()
        time.sleep(min(2, sizes.idle_seconds))  # until what the load began is over
        before = crew.running()
        time.sleep(sizes.idle_seconds)
        spent = {role: used - before.get(role, 0) for role, used in crew.running().items()}
        figures = {
            f"memory_{role}": bytes / MEGABYTE
            for role, bytes in crew.memory().items()
            if role != "PostgreSQL"  # its shared buffers are the run's choice
        }
        figures |= horses(crew.processes()["worker"])
    idle = {f"idle_{role}": 100 * used / sizes.idle_seconds for role, used in spent.items()}
    return {"idle_percent": round(sum(idle.values()), 2), **idle, **figures}


def horses(worker: list[int]) -> dict[str, float]:
    """The worker's parent and its horses apart."""
    parent, *children = worker
    each = memory_bytes(children) / max(1, len(children))
    return {"memory_parent": memory_bytes([parent]) / MEGABYTE, "memory_horse": each / MEGABYTE}


FOOTPRINT = InTurn(
    "footprint",
    "Idle: CPU of everything in percent of one core, memory",
    [Service()],
    measure,
)
