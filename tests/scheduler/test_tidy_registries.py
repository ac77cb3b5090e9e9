"""RQ's registries show what runs and what ended lately, and nothing that is over."""

from __future__ import annotations

import time

import pytest

from scheduler.tidy_registries import Shown, tidy_registries
from tasks.lifecycle import Status
from tests.scheduler.test_requeue_lost import QUEUE, delivery

pytestmark = pytest.mark.usefixtures("sessions")


@pytest.fixture
def started(broker, a_task):
    """RQ shows a task in this status as started."""

    def show(status: Status) -> str:
        task = a_task(status)
        broker.queue([delivery(task)])
        member = f"{task.id}:1"
        broker.redis.zadd(f"rq:wip:{QUEUE}", {member: time.time() + 600})
        return member

    return show


def test_what_runs_is_shown(broker, started):
    started(Status.RUNNING)
    shown = Shown()

    assert [tidy_registries(broker, shown) for _ in range(3)] == [0, 0, 0]
    assert broker.redis.zcard(f"rq:wip:{QUEUE}") == 1


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.RUNNING}))
def test_what_no_longer_runs_goes_at_the_second_look(broker, started, status):
    started(status)
    shown = Shown()

    assert [tidy_registries(broker, shown) for _ in range(3)] == [0, 1, 0]
    assert broker.redis.zcard(f"rq:wip:{QUEUE}") == 0


@pytest.mark.parametrize("registry", ["rq:finished:", "rq:failed:"])
def test_what_ended_is_shown_until_its_time(broker, started, registry):
    started(Status.RUNNING)
    broker.redis.zadd(registry + QUEUE, {"old": time.time() - 5, "new": time.time() + 60})

    assert tidy_registries(broker, Shown()) == 1
    assert broker.redis.zrange(registry + QUEUE, 0, -1) == [b"new"]
