"""A pending task that Redis has no job for is pushed again; each is looked at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from redis.exceptions import RedisError

from scheduler import requeue_lost as module
from scheduler.requeue_lost import Reading, requeue_lost
from tasks import backlog, inspection
from tasks.broker import Broker, Delivery, connect
from tasks.lifecycle import Priority, Status
from tasks.models import Task
from tests.rows import ago

QUEUE = "default:normal"


@pytest.fixture
def reading(broker, sessions):
    """A process that has found all pending tasks in this life of Redis."""
    reading = Reading()
    requeue_lost(broker, reading)
    return reading


def delivery(task: Task, **changes: object) -> Delivery:
    facts = Delivery(str(task.id), task.name, task.queue_name, task.priority, task.timeout)
    return facts._replace(**changes)


def pushed(broker: Broker, queue: str = QUEUE) -> list[UUID]:
    return [UUID(id) for id in broker.head(queue, 10_000)]


def test_a_task_whose_push_was_lost_is_pushed(broker, a_task, reading):
    lost, there = a_task(), a_task()
    broker.queue([delivery(there)])

    assert requeue_lost(broker, reading) == 1

    assert pushed(broker) == [there.id, lost.id]
    assert requeue_lost(broker, reading) == 0


def test_a_task_that_has_just_become_pending_is_left_to_its_push(broker, a_task, reading):
    a_task(pending_since=ago(seconds=1))

    assert requeue_lost(broker, reading) == 0


def test_each_task_is_looked_at_once(broker, a_task, reading):
    task = a_task()
    broker.queue([delivery(task)])
    requeue_lost(broker, reading)
    broker.redis.delete(f"rq:job:{task.id}")

    assert requeue_lost(broker, reading) == 0
    assert requeue_lost(broker, Reading()) == 1  # a fresh process begins anew


def test_only_pending_tasks_are_pushed(broker, a_task, reading):
    for status in set(Status) - {Status.PENDING}:
        a_task(status)

    assert requeue_lost(broker, reading) == 0


@pytest.mark.parametrize("broken", ["no data", "other data", "no hash at all"])
def test_a_malformed_job_is_replaced(broker, a_task, reading, broken):
    task = a_task()
    key = f"rq:job:{task.id}"
    match broken:
        case "no data":
            broker.redis.hset(key, "origin", QUEUE)
        case "other data":
            broker.redis.hset(key, "data", '["os.system",null,["id"],{}]')
        case "no hash at all":
            broker.redis.set(key, "text")

    assert requeue_lost(broker, reading) == 1

    assert broker.redis.hget(key, "data") == f'["jobs.run",null,["{task.id}"],{{}}]'.encode()


def test_when_redis_has_lost_its_memory_everything_is_pushed_the_most_urgent_first(
    broker, a_task, reading, monkeypatch
):
    tasks = {priority: a_task(priority=priority) for priority in reversed(Priority)}
    while requeue_lost(broker, reading):
        pass
    broker.redis.flushall()
    order: list[UUID] = []
    restore = Broker.restore
    monkeypatch.setattr(
        Broker,
        "restore",
        lambda self, found: order.extend(UUID(each.id) for each in found) or restore(self, found),
    )

    assert requeue_lost(broker, reading) == 4

    assert order == [tasks[priority].id for priority in Priority]
    assert requeue_lost(broker, reading) == 0


def test_the_new_life_of_redis_is_remembered_when_all_is_pushed(
    broker, sessions, a_task, reading, monkeypatch
):
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "EFFORT_AFTER_A_LOSS", 0)
    for _ in range(3):
        a_task()
    broker.redis.flushall()

    def known() -> bool:
        with sessions.begin() as session:
            return backlog.look(session).epoch == inspection.epoch(broker.redis)

    assert (requeue_lost(broker, reading), known()) == (2, False)
    assert (requeue_lost(broker, reading), known()) == (1, True)


def test_a_second_loss_meanwhile_begins_anew(broker, sessions, a_task, reading, monkeypatch):
    tasks = [a_task() for _ in range(3)]
    broker.redis.flushall()
    restore = Broker.restore

    def restored_and_lost(self: Broker, found: list[Delivery]) -> int:
        monkeypatch.undo()
        n = restore(self, found)
        self.redis.flushall()
        return n

    monkeypatch.setattr(Broker, "restore", restored_and_lost)

    assert requeue_lost(broker, reading) == 3
    assert requeue_lost(broker, reading) == 3
    assert pushed(broker) == [task.id for task in tasks]


def test_what_is_there_is_not_doubled_by_several_schedulers(broker, a_task, redis_url):
    tasks = [a_task() for _ in range(50)]

    def process(_: int) -> int:
        client = connect(redis_url, patience=2)
        try:
            return requeue_lost(Broker(client), Reading())
        finally:
            client.close()

    with ThreadPoolExecutor(4) as schedulers:
        assert sum(schedulers.map(process, range(4))) == 50
    assert sorted(pushed(broker)) == sorted(task.id for task in tasks)


def test_it_does_not_read_on_while_redis_is_away(broker, a_task, reading, monkeypatch):
    task = a_task()

    def away(*_: object) -> int:
        raise RedisError("away")

    with monkeypatch.context() as patch:
        patch.setattr(Broker, "restore", away)
        with pytest.raises(RedisError):
            requeue_lost(broker, reading)

    assert requeue_lost(broker, reading) == 1
    assert pushed(broker) == [task.id]


def test_many_tasks_of_one_instant_are_read_in_pieces(broker, a_task, reading, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 3)
    monkeypatch.setattr(module, "USUAL_EFFORT", 10.0)  # all in one round, on any machine
    moment = ago(minutes=1)
    tasks = [a_task(pending_since=moment) for _ in range(10)]

    assert requeue_lost(broker, reading) == 10
    assert sorted(pushed(broker)) == sorted(task.id for task in tasks)


def test_every_queue_is_read(broker, a_task, reading):
    tasks = [
        a_task(queue_name=name, priority=priority, name=f"kind-{name}")
        for name in ("a", "b", "c")
        for priority in Priority
    ]

    assert requeue_lost(broker, reading) == 12
    for task in tasks:
        assert pushed(broker, f"{task.queue_name}:{task.priority}") == [task.id]
