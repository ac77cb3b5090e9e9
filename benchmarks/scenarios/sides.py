"""Two services side by side: each has its processes up, and they are measured moment by moment.

The pace of a machine that is shared with others changes by a quarter and more within seconds, so a
difference of a tenth between two turns of a minute each says nothing. Moments of half a second that
alternate see the same machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.crew import Crew
from benchmarks.load import Answers, post
from benchmarks.scenarios.latency import RATE
from benchmarks.scenarios.scenario import Measured, Sizes, percentile
from benchmarks.scenarios.sleepers import SECONDS
from benchmarks.scenarios.wake import waits
from benchmarks.stage import Place
from benchmarks.systems.service import LARGEST_BATCH, Service


@dataclass
class Side:
    """One of them: its web process runs first, its worker later."""

    crew: Crew
    service: Service
    place: Place
    port: int
    sizes: Sizes
    expected: int = 0  # handlers that will have run

    def singles(self) -> Answers:
        """A moment of submissions one by one."""
        return post(self.port, self.service.submission(), seconds=self.sizes.moment_seconds)

    def batches(self) -> Answers:
        """A moment of submissions in batches, which no worker serves."""
        count = self.sizes.moment_batches
        order = self.service.batch(queue_name=PARKED)
        return post(self.port, order, connections=4, requests=count)

    def drain(self) -> Measured:
        """So many tasks and what was submitted one by one, once the worker has started."""
        self.service.submit_batches(self.port, self.sizes.drain_default)
        count = self.unfinished()
        self.crew.start(self.service.workers(self.place))
        return {"tasks_per_s": self.drained(count)}

    def run(self) -> Measured:
        """Submissions one by one with the worker, to the last task."""
        seconds = 0.8 * self.sizes.run_seconds
        seen = post(self.port, self.service.submission(), seconds=seconds)
        return {"run_per_s": seen.answers / (self.recorded(seen.answers) - seen.begun)}

    def sleep(self) -> Measured:
        """Tasks that only wait, submitted in batches meanwhile."""
        count = self.sizes.sleepers // 2
        self.service.submit_batches(self.port, count, kind="bench.sleep", seconds=SECONDS)
        return {"sleepers_per_s": self.drained(count)}

    def lone(self) -> Measured:
        """From created to finished, of one task after the other."""
        seconds = 0.3 * self.sizes.latency_seconds
        seen = post(self.port, self.service.submission(), rate=RATE, seconds=seconds)
        self.recorded(seen.answers)
        took = [each for (each,) in self.place.query(NEWEST, seen.answers)]
        return {f"p{share}_ms": 1000 * percentile(took, share / 100) for share in (50, 99)}

    def woken(self) -> Measured:
        """From the end of a task to the answer of its `?wait=`."""
        took = waits(self.port, self.service, max(1, self.sizes.waits // 6))
        return {"woken_p50_ms": 1000 * percentile(took, 0.5)}

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
        return self.crew.until(lambda: self.unfinished() == 0, f"{count} tasks recorded")

    def unfinished(self) -> int:
        """Tasks that are not finished, but for those on queues that no worker serves."""
        ((count,),) = self.place.query(UNFINISHED)
        return int(count)


PARKED = "parked"
NEWEST = """
SELECT extract(epoch FROM finished_at - created_at)::float8 FROM tasks ORDER BY id DESC LIMIT %s
"""
UNFINISHED = """
SELECT (SELECT count(*) FROM tasks WHERE status = 'pending' AND queue_name = 'default')
    + (SELECT count(*) FROM tasks WHERE status = 'running')
"""


def rates(sides: Sequence[Side], moment: Callable[[Side], Answers], moments: int) -> list[float]:
    """Answers a second of each side, over so many moments that alternate."""
    seen: list[list[Answers]] = [[] for _ in sides]
    for number in range(moments):
        both = list(zip(sides, seen, strict=True))
        for side, its in both if number % 2 else reversed(both):
            its.append(moment(side))
    return [sum(each.answers for each in its) / sum(each.seconds for each in its) for its in seen]


def submitted(sides: Sequence[Side], sizes: Sizes) -> list[Measured]:
    """Singles and batches of each side, while no worker runs."""
    for each in sides:  # to warm up
        each.singles()
        each.batches()
    sides[0].crew.stage.settle()
    singles = rates(sides, Side.singles, sizes.moments)
    batches = rates(sides, Side.batches, 3 * sizes.moments)
    return [
        {"accepted_per_s": single, "batch_accepted_per_s": batch * LARGEST_BATCH}
        for single, batch in zip(singles, batches, strict=True)
    ]
