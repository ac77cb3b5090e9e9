"""What a dead worker had popped goes back to the front; what a living one holds is its own."""

from __future__ import annotations

from uuid import uuid4

import pytest

from scheduler.requeue_popped import DEAD_AFTER, HELD_TOO_LONG, Watch, requeue_popped
from tasks import inspection, leases
from tasks.lifecycle import Status
from tasks.scripts import POPPED
from tests.scheduler.test_requeue_lost import QUEUE, delivery, pushed

pytestmark = pytest.mark.usefixtures("sessions")


def later(watch: Watch, seconds: float) -> None:
    """Let the watch have seen everything this much earlier."""
    watch.absent = {worker: since - seconds for worker, since in watch.absent.items()}
    watch.held = {held: since - seconds for held, since in watch.held.items()}


@pytest.fixture
def popped(broker, a_task):
    """Two tasks of a queue of three, popped by a worker named `w`."""
    tasks = [a_task() for _ in range(3)]
    broker.queue([delivery(task) for task in tasks])
    assert len(broker.pop("w", [QUEUE], 2)) == 2
    return tasks


def test_a_living_worker_keeps_what_it_popped(broker, popped, a_worker):
    a_worker("w", lease=-1)  # silent, but not buried

    assert requeue_popped(broker, Watch()) == 0
    assert len(broker.popped_by("w")) == 2


def test_what_a_buried_worker_popped_goes_to_the_front_in_its_old_order(
    broker, popped, a_worker, sessions
):
    a_worker("w")
    watch = Watch()
    requeue_popped(broker, watch)
    with sessions.begin() as session:
        leases.leave(session, "w")

    assert requeue_popped(broker, watch) == 2

    assert pushed(broker) == [task.id for task in popped]
    assert requeue_popped(broker, watch) == 0
    assert inspection.poppers(broker.redis) == []


def test_a_worker_that_was_never_seen_alive_gets_time_to_register(broker, popped, a_worker):
    watch = Watch()
    assert requeue_popped(broker, watch) == 0
    later(watch, DEAD_AFTER)

    assert requeue_popped(broker, watch) == 2


def test_what_was_settled_meanwhile_is_only_forgotten(broker, a_task):
    started, gone = a_task(Status.RUNNING), str(uuid4())
    broker.redis.sadd(POPPED + "w", str(started.id), gone, "not an id", b"\xff no text")
    broker.redis.sadd("dtq:poppers", POPPED + "w")
    watch = Watch()
    requeue_popped(broker, watch)
    later(watch, DEAD_AFTER)

    assert requeue_popped(broker, watch) == 0
    assert broker.popped_by("w") == []
    assert requeue_popped(broker, watch) == 0
    assert inspection.poppers(broker.redis) == []


def test_what_a_living_worker_has_forgotten_is_pushed_after_a_while(broker, popped, a_worker):
    a_worker("w")
    watch = Watch()
    requeue_popped(broker, watch)
    later(watch, HELD_TOO_LONG)

    assert requeue_popped(broker, watch) == 2
    assert broker.popped_by("w") == []


def test_nothing_popped_costs_the_database_nothing(broker):
    assert requeue_popped(broker, Watch()) == 0
