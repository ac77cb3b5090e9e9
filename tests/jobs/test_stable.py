"""A stable knows its horses only from outside: they may be gone before it has been told."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

from jobs.assignment import Assignment
from jobs.channel import pair
from jobs.horse import HorseTerms
from jobs.mount import Assigned, Mount
from jobs.pace import Ahead
from jobs.stable import MANY, Stable

ASSIGNMENT = Assignment(
    task_id=str(uuid4()),
    name="tests.obey",
    payload=b"{}",
    attempt=1,
    timeout=60.0,
    max_retries=0,
    failures=0,
    worker_id="w",
    request_id=None,
)


@contextmanager
def a_dead_horse(*assignments: Assignment) -> Iterator[Mount]:
    """A process that has ended and that nobody has waited for; its ends of the pairs are closed."""
    ours, theirs = pair()
    orders, orders_theirs = pair()
    orders_theirs.close()
    process = subprocess.Popen(["sleep", "60"])
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    mount = Mount(process.pid, ours, orders, theirs, time.monotonic())
    for each in assignments:
        mount.give(Assigned(each, io=False, since=time.monotonic()))
    yield mount
    process.wait()


def test_a_horse_that_died_unnoticed_takes_no_order_and_is_buried_with_its_task() -> None:
    cancelled, other = ASSIGNMENT, replace(ASSIGNMENT, task_id=str(uuid4()))
    stable = Stable(1, HorseTerms(), max_tasks=0, max_memory=0)
    with a_dead_horse(cancelled, other) as horse:
        stable.horses[horse.pid] = horse

        stable.stop([cancelled.task_id])

        (death,) = stable.reap()
    assert "SIGKILL" in death.cause
    assert [each.assignment for each in death.began] == [cancelled, other]


def test_horses_are_left_alone_only_while_all_have_enough_short_tasks() -> None:
    stable = Stable(2, HorseTerms(), max_tasks=0, max_memory=0)
    short, long = Ahead(2 * MANY, 0.0), Ahead(MANY - 1, 0.0)

    def give(count: int) -> None:
        for _ in range(count):
            assert stable.assign(replace(ASSIGNMENT, task_id=str(uuid4())), io=False, ahead=short)

    with a_dead_horse() as one, a_dead_horse() as other:
        stable.horses = {one.pid: one, other.pid: other}

        give(2 * MANY)
        assert not stable.are_well_fed(short)  # each has half of what it may have
        give(1)
        assert not stable.are_well_fed(short)  # one has more than that
        give(1)
        assert stable.are_well_fed(short)
        assert not stable.are_well_fed(long)
        assert one.ordinary == len(one.assigned) == MANY + 1
        one.take(next(iter(one.assigned)))
        assert not stable.are_well_fed(short)

        stable.reap()
