"""A pending task that its queue has left behind is found, even if its job's hash is there."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from scheduler import requeue_overtaken as module
from scheduler.requeue_lost import Reading, requeue_lost
from scheduler.requeue_overtaken import BELIEVED_AFTER, Trail, requeue_overtaken
from tasks.lifecycle import Status
from tests.rows import ago
from tests.scheduler.test_requeue_lost import QUEUE, delivery, pushed

pytestmark = pytest.mark.usefixtures("sessions")


class Process:
    """One scheduler process, whose looks lie as far apart as the test wants."""

    def __init__(self, broker) -> None:
        self.broker, self.trail, self.reading = broker, Trail(), Reading()

    def look(self) -> int:
        return requeue_overtaken(self.broker, self.trail, self.reading)

    def look_later(self, seconds: float = BELIEVED_AFTER) -> int:
        self.trail.latest_at -= seconds
        self.trail.latest = {
            queue: since - timedelta(seconds=seconds) for queue, since in self.trail.latest.items()
        }
        return self.look()


@pytest.fixture
def process(broker):
    return Process(broker)


@pytest.fixture
def queue(broker, a_task):
    """Tasks that became pending a minute apart, all in their queue; the oldest first."""
    tasks = [a_task(pending_since=ago(minutes=30 - n)) for n in range(10)]
    broker.queue([delivery(task) for task in tasks])
    return tasks


def pop_and_die(broker, n: int) -> list[UUID]:
    """What a stock `rq worker` does that is killed before its job has started."""
    return [UUID(broker.redis.lpop(f"rq:queue:{QUEUE}").decode()) for _ in range(n)]


def test_a_task_popped_and_lost_goes_back_to_the_front(broker, queue, process):
    process.look()
    pop_and_die(broker, 2)
    process.look_later()

    assert process.look_later() == 2

    assert pushed(broker) == [task.id for task in queue]
    assert process.look_later() == 0


def test_whoever_popped_it_gets_time_to_start_it(broker, queue, process):
    process.look()
    pop_and_die(broker, 1)

    assert process.look() == 0  # it may be about to start
    assert process.look_later(BELIEVED_AFTER / 2) == 0


def test_the_last_task_of_a_queue_is_found_too(broker, queue, process):
    process.look()
    pop_and_die(broker, 10)
    process.look_later()

    assert process.look_later() == 10
    assert pushed(broker) == [task.id for task in queue]


def test_a_queue_that_somebody_emptied_is_read_again_from_its_beginning(
    broker, queue, process, monkeypatch
):
    requeue_lost(broker, process.reading)
    monkeypatch.setattr(module, "BATCH", 1)
    process.look()
    broker.redis.delete(f"rq:queue:{QUEUE}", *(f"rq:job:{task.id}" for task in queue))
    process.look_later()

    assert process.look_later() == 1
    assert requeue_lost(broker, process.reading) == 9


def test_a_fresh_process_judges_nothing(broker, queue, process):
    pop_and_die(broker, 2)

    assert process.look() == 0


def test_a_queue_that_nobody_serves_is_left_alone(broker, queue, process):
    assert [process.look(), process.look_later(), process.look_later()] == [0, 0, 0]


def test_a_task_that_stands_further_back_is_not_doubled(broker, queue, process, a_task):
    late = a_task(pending_since=ago(hours=2))  # pushed late, so behind younger ones
    broker.queue([delivery(late)])

    assert [process.look(), process.look_later(), process.look_later()] == [0, 0, 0]
    assert broker.length(QUEUE) == 11


def test_a_false_alarm_does_not_hide_a_loss(broker, queue, process, a_task, monkeypatch):
    monkeypatch.setattr(module, "HEAD", 3)
    late = a_task(pending_since=ago(hours=2))
    broker.queue([delivery(late)])
    pop_and_die(broker, 1)
    process.look()

    assert process.look_later() == 1
    assert pushed(broker)[0] == queue[0].id


def test_a_long_queue_is_compared_with_little_by_little(
    broker, queue, process, a_task, monkeypatch
):
    monkeypatch.setattr(module, "HEAD", 3)
    monkeypatch.setattr(module, "COMPARISONS", 1)
    late = [a_task(pending_since=ago(hours=2, seconds=-n)) for n in range(3)]
    broker.queue([delivery(task) for task in late])
    pop_and_die(broker, 1)
    process.look()
    process.look_later()

    assert [process.look(), process.look(), process.look(), process.look()] == [0, 0, 1, 0]


def test_what_a_worker_holds_is_not_lost(broker, queue, process):
    process.look()
    broker.pop("w", [QUEUE], 3)
    process.look_later()

    assert process.look_later() == 0


def test_what_a_worker_gave_back_to_the_front_overtakes_nobody(broker, queue, process, a_task):
    given_back = a_task(pending_since=ago(seconds=10))
    broker.queue([delivery(given_back, front=True)])
    process.look()
    process.look_later()

    assert process.look_later() == 0


def test_a_list_that_begins_with_rubbish_is_not_judged(broker, queue, process, a_task):
    finished = [a_task(Status.SUCCEEDED) for _ in range(module.HEAD)]
    broker.queue([delivery(task, front=True) for task in finished])
    pop = broker.redis.lrem(f"rq:queue:{QUEUE}", 1, str(queue[0].id))
    assert pop == 1
    process.look()
    process.look_later()

    assert process.look_later() == 0


def test_tasks_of_the_same_moment_may_be_popped_in_any_order(broker, process, a_task):
    tasks = [a_task(pending_since=ago(seconds=60 - n)) for n in range(4)]
    broker.queue([delivery(task) for task in tasks[1:]])
    process.look()
    process.look_later()

    assert process.look_later() == 0
