"""A task that nobody started in time is cancelled, and its history says so."""

from __future__ import annotations

from scheduler.expire import expire
from tasks import history, store
from tasks.lifecycle import Force, Status
from tests.rows import ago


def test_a_late_task_is_cancelled_and_the_clock_is_named(sessions, a_task):
    task = a_task(Status.PENDING, expires_at=ago(seconds=1))

    assert expire(100) == 1

    with sessions.begin() as session:
        assert store.find(session, task.id).status is Status.CANCELLED
        last = history.history(session, task.id)[-1]
    assert (last.move, last.by, last.from_status) == ("expire", Force.CLOCK, Status.PENDING)


def test_a_batch_is_as_large_as_it_may_be(sessions, a_task):
    for _ in range(3):
        a_task(Status.SCHEDULED, expires_at=ago(seconds=1))

    assert [expire(2), expire(2), expire(2)] == [2, 1, 0]
