"""A due task becomes pending and is pushed; any number of schedulers share the work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from scheduler.dispatch_due import dispatch_due
from tasks import store
from tasks.lifecycle import Status
from tests.rows import ago


def test_what_is_due_is_pushed_in_the_order_of_its_times(sessions, broker, a_task):
    second, first = (a_task(Status.SCHEDULED, run_at=ago(seconds=s)) for s in (1, 2))
    a_task(Status.SCHEDULED, run_at=ago(seconds=-60))

    assert dispatch_due(100) == 2

    assert broker.head("default:normal", 9) == [str(first.id), str(second.id)]


def test_a_batch_is_as_large_as_it_may_be(sessions, a_task):
    for _ in range(3):
        a_task(Status.SCHEDULED, run_at=ago(seconds=1))

    assert [dispatch_due(2), dispatch_due(2), dispatch_due(2)] == [2, 1, 0]


def test_a_due_task_is_pending_even_if_redis_is_away(sessions, broker, a_task):
    task = a_task(Status.SCHEDULED, run_at=ago(seconds=1))
    broker._breaker.trip()  # as after a push that failed

    assert dispatch_due(100) == 1

    with sessions.begin() as session:
        assert store.find(session, task.id).status is Status.PENDING


def test_several_schedulers_dispatch_each_task_once(sessions, broker, a_task):
    for _ in range(60):
        a_task(Status.SCHEDULED, run_at=ago(seconds=1))

    with ThreadPoolExecutor(4) as schedulers:
        done = sum(schedulers.map(dispatch_due, [10] * 24))

    assert done == 60
    assert len(set(broker.head("default:normal", 99))) == broker.length("default:normal") == 60
