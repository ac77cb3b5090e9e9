"""Two services side by side: each has its processes up, and they are measured moment by moment.

The pace of a machine that is shared with others changes by a quarter and more within seconds, so a
difference of a tenth between two turns of a minute each says nothing. Moments of half a second that
alternate see the same machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from signal import SIGCONT, SIGSTOP
from typing import NamedTuple

from benchmarks.crew import Crew
from benchmarks.load import post
from benchmarks.scenarios.latency import RATE
from benchmarks.scenarios.scenario import Measured, Sizes, percentile
from benchmarks.scenarios.sleepers import SECONDS
from benchmarks.scenarios.wake import waits
from benchmarks.stage import Place
from benchmarks.systems.service import LARGEST_BATCH, Service


class Amount(NamedTuple):
    """What came of a moment."""

    tasks: int
    seconds: float


@dataclass
class Side:
    """One of them: its web process runs first, its worker later."""

    crew: Crew
    service: Service
    place: Place
    port: int
    sizes: Sizes

    def __post_init__(self) -> None:
        self.expected = self.place.executed()  # handlers that will have run

    def singles(self) -> Amount:
        """A moment of submissions one by one."""
        seen = post(self.port, self.service.submission(), seconds=self.sizes.moment_seconds)
        return Amount(seen.answers, seen.seconds)

    def batches(self) -> Amount:
        """A moment of submissions in batches, which no worker serves."""
        count = self.sizes.moment_batches
        order = self.service.batch(queue_name=PARKED)
        seen = post(self.port, order, connections=4, requests=count)
        return Amount(seen.answers * LARGEST_BATCH, seen.seconds)

    def begin_work(self) -> None:
        """Start the worker, which runs what was submitted one by one."""
        count = self.unfinished()
        self.crew.start(self.service.workers(self.place))
        self.recorded(count)

    def drain(self) -> Amount:
        """A moment's worth of tasks, which wait until all are there."""
        count = self.sizes.moment_drain
        worker, *_ = self.crew.processes()["worker"]
        os.kill(worker, SIGSTOP)
        try:
            self.service.submit_batches(self.port, count)
        finally:
            os.kill(worker, SIGCONT)
        return self.drained(count)

    def run(self) -> Amount:
        """A moment of submissions one by one with the worker, to the last task."""
        seen = post(self.port, self.service.submission(), seconds=self.sizes.moment_seconds)
        return Amount(seen.answers, self.recorded(seen.answers) - seen.begun)

    def sleep(self) -> Amount:
        """A moment of tasks that only wait, submitted in batches meanwhile."""
        count = self.sizes.moment_sleepers
        self.service.submit_batches(self.port, count, kind="bench.sleep", seconds=SECONDS)
        return self.drained(count)

    def lone(self) -> Measured:
        """From created to finished, of one task after the other."""
        seconds = 0.2 * self.sizes.latency_seconds
        seen = post(self.port, self.service.submission(), rate=RATE, seconds=seconds)
        self.recorded(seen.answers)
        took = [each for (each,) in self.place.query(NEWEST, seen.answers)]
        return {f"p{share}_ms": 1000 * percentile(took, share / 100) for share in (50, 99)}

    def woken(self) -> Measured:
        """From the end of a task to the answer of its `?wait=`."""
        took = waits(self.port, self.service, max(1, self.sizes.waits // 6))
        return {"woken_p50_ms": 1000 * percentile(took, 0.5)}

    def drained(self, count: int) -> Amount:
        """From a tenth of so many tasks to the last one."""
        before = self.expected
        self.crew.until(
            lambda: self.place.executed() >= before + count // 10, "a tenth drained", within=120
        )
        begun, started = self.place.executed(), time.perf_counter()
        return Amount(before + count - begun, self.recorded(count) - started)

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


def rates(sides: Sequence[Side], moment: Callable[[Side], Amount], moments: int) -> list[float]:
    """Tasks a second of each side, over so many moments that alternate."""
    seen: list[list[Amount]] = [[] for _ in sides]
    for number in range(moments):
        both = list(zip(sides, seen, strict=True))
        for side, its in both if number % 2 else reversed(both):
            its.append(moment(side))
    return [sum(each.tasks for each in its) / sum(each.seconds for each in its) for its in seen]


def submitted(sides: Sequence[Side], sizes: Sizes) -> list[Measured]:
    """Singles and batches of each side, while no worker runs."""
    for each in sides:  # to warm up
        each.singles()
        each.batches()
    sides[0].crew.stage.settle()
    found = {
        "accepted_per_s": rates(sides, Side.singles, sizes.moments),
        "batch_accepted_per_s": rates(sides, Side.batches, 2 * sizes.moments),
    }
    return by_side(found)


def done(sides: Sequence[Side], sizes: Sizes) -> list[Measured]:
    """Drains, singles to the last one, and sleepers of each side, with its worker."""
    for each in sides:
        each.begin_work()
    sides[0].crew.stage.settle()
    found = {
        "tasks_per_s": rates(sides, Side.drain, sizes.moments),
        "run_per_s": rates(sides, Side.run, sizes.moments),
        "sleepers_per_s": rates(sides, Side.sleep, sizes.moments // 2),
    }
    return by_side(found)


def by_side(found: Mapping[str, Sequence[float]]) -> list[Measured]:
    return [dict(zip(found, each, strict=True)) for each in zip(*found.values(), strict=True)]
