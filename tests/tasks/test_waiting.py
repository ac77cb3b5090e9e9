"""Whoever waits for a task is woken at its end, with Redis or without."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import uuid4

import pytest
from sqlalchemy import event

from tasks import actions, database, store
from tasks import waiting as module
from tasks.broker import Broker, connect
from tasks.errors import TaskNotFound
from tasks.lifecycle import Move, Outcome, Status
from tasks.waiting import Waiters
from tests.eventually import eventually
from tests.tasks.test_store import word


@pytest.fixture
def waiters(sessions, redis_url):
    with closing(connect(redis_url, patience=5)) as client:
        waiters = Waiters(client)
        yield waiters
        let_go(waiters)


def let_go(waiters: Waiters) -> None:
    waiters.close()
    if waiters._listener is not None:
        waiters._listener.join()


def finish(task) -> None:
    with database.sessions.begin() as session:
        end = word(task, Move.SUCCEED, Outcome.SUCCEEDED, result="1")
        assert store.settle_many(session, [end])


def test_a_finished_task_is_returned_at_once(waiters, a_task):
    task = a_task(Status.FAILED)

    assert waiters.wait(task.id, 60).status is Status.FAILED


def test_a_task_that_does_not_exist_is_not_waited_for(waiters):
    with pytest.raises(TaskNotFound):
        waiters.wait(uuid4(), 60)


def test_when_the_seconds_are_up_the_task_is_returned_as_it_is(waiters, a_task):
    task = a_task(Status.RUNNING)
    began = time.monotonic()

    assert waiters.wait(task.id, 0.2).status is Status.RUNNING
    assert 0.2 <= time.monotonic() - began < 2


def test_everybody_who_waits_is_woken_by_a_message(waiters, a_task, monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY", 5.0)
    task, other = a_task(Status.RUNNING), a_task(Status.RUNNING)
    others = _listeners(waiters)
    with ThreadPoolExecutor(4) as clients:
        waiting = [clients.submit(waiters.wait, task.id, 30) for _ in range(3)]
        unrelated = clients.submit(waiters.wait, other.id, 1)
        eventually(lambda: len(waiters._waiting[task.id]) == 3)
        assert eventually(lambda: _listeners(waiters) == others + 1)

        began = time.monotonic()
        finish(task)

        assert all(each.result(timeout=9).status is Status.SUCCEEDED for each in waiting)
        assert time.monotonic() - began < 2
        assert unrelated.result().status is Status.RUNNING


def _listeners(waiters) -> int:
    return waiters._redis.pubsub_numsub(module.CHANNEL)[0][1]


def test_a_lost_message_costs_a_second_at_most(waiters, a_task, broker):
    task = a_task(Status.RUNNING)
    with ThreadPoolExecutor(1) as clients:
        waiting = clients.submit(waiters.wait, task.id, 30)
        eventually(lambda: task.id in waiters._waiting)
        broker._breaker.trip()  # this process cannot tell Redis
        began = time.monotonic()

        finish(task)

        assert waiting.result(timeout=10).status is Status.SUCCEEDED
        assert time.monotonic() - began < 4


def test_without_redis_the_database_is_looked_at(sessions, a_task):
    with closing(connect("redis://127.0.0.1:1/0", patience=0.2)) as nowhere:
        waiters, task = Waiters(nowhere), a_task(Status.RUNNING)
        with ThreadPoolExecutor(1) as clients:
            waiting = clients.submit(waiters.wait, task.id, 30)
            eventually(lambda: task.id in waiters._waiting)

            finish(task)

            assert waiting.result(timeout=10).status is Status.SUCCEEDED
        let_go(waiters)


def test_many_who_wait_cost_the_database_one_question_a_second(waiters, a_task):
    tasks = [a_task(Status.RUNNING) for _ in range(20)]
    statements: list[str] = []
    event.listen(
        database.engine(), "before_cursor_execute", lambda *said: statements.append(said[2])
    )
    with ThreadPoolExecutor(20) as clients:
        list(clients.map(lambda task: waiters.wait(task.id, 2.5), tasks))

    assert len(statements) <= 2 * len(tasks) + 4


def test_an_end_that_a_rerun_undid_is_not_waited_for_in_a_loop(waiters, a_task):
    task = a_task(Status.RUNNING)
    statements: list[str] = []
    with ThreadPoolExecutor(1) as clients:
        waiting = clients.submit(waiters.wait, task.id, 1.5)
        eventually(lambda: task.id in waiters._waiting)
        actions.cancel(task.id)
        actions.rerun(task.id)
        event.listen(
            database.engine(), "before_cursor_execute", lambda *said: statements.append(said[2])
        )
        waiting.result(timeout=10)

    assert len(statements) < 20


def test_everybody_is_let_go_when_the_process_ends(waiters, a_task):
    task = a_task(Status.RUNNING)
    with ThreadPoolExecutor(1) as clients:
        waiting = clients.submit(waiters.wait, task.id, 60)
        eventually(lambda: task.id in waiters._waiting)

        waiters.close()

        assert waiting.result(timeout=5).status is Status.RUNNING


def test_nobody_is_remembered_after_they_left(waiters, a_task):
    task = a_task(Status.RUNNING)
    threads = [threading.Thread(target=waiters.wait, args=(task.id, 0.05)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not waiters._waiting


def test_the_hook_tells_every_end(broker: Broker, sessions, a_task):
    ended = [a_task(Status.RUNNING), a_task(Status.PENDING)]
    with broker.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(module.CHANNEL)
        channel.get_message(timeout=1)
        finish(ended[0])
        actions.cancel(ended[1].id)
        told = [channel.get_message(timeout=2)["data"].decode() for _ in ended]

    assert told == [str(task.id) for task in ended]
