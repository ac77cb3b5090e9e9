"""What the protections cost: the same drain with everything that is done periodically, and without.

Without it there is no scheduler, and a worker looks after nothing while it works: it renews no
lease, compares nothing with Redis and stores no progress.
"""

from __future__ import annotations

from benchmarks.crew import Crew
from benchmarks.scenarios.drain import drained, fill
from benchmarks.scenarios.scenario import InTurn, Measured, Sizes
from benchmarks.stage import Stage
from benchmarks.systems.service import Service, Unprotected
from benchmarks.systems.system import System


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        fill(crew, system, place, sizes.protected)
        stage.settle()
        crew.start(system.workers(place))
        return drained(crew, system, place, sizes.protected)


PROTECTIONS = InTurn(
    "protections",
    "Draining no-op tasks with the protections' periodic duties, and without",
    [Service(), Unprotected()],
    measure,
)
