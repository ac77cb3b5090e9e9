"""The backlog is read by queue, oldest first, at a cost that does not grow with it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text

from tasks import backlog, database
from tasks.backlog import START, Place, Queue
from tasks.lifecycle import FINISHED, Priority, Status
from tests.rows import ago

Q = Queue("default", Priority.NORMAL)


def place(task) -> Place:
    return Place(task.pending_since, task.id)


def ids(found) -> list[object]:
    return [UUID(each.delivery.id) for each in found]


class TestQueues:
    def test_the_most_urgent_come_first(self, session, a_task):
        for name in ("b", "a"):
            for priority in reversed(Priority):
                a_task(queue_name=name, priority=priority)
                a_task(queue_name=name, priority=priority)

        assert backlog.look(session).queues == [
            Queue(name, priority) for priority in Priority for name in ("a", "b")
        ]

    def test_only_pending_tasks_make_a_queue(self, session, a_task):
        for status in set(Status) - {Status.PENDING}:
            a_task(status, queue_name=status)

        assert backlog.look(session).queues == []


class TestReading:
    def test_it_goes_on_after_its_place(self, session, a_task):
        tasks = [a_task(pending_since=ago(minutes=9 - n)) for n in range(5)]

        assert ids(backlog.after(session, {Q: START}, 2)) == [task.id for task in tasks[:2]]
        assert ids(backlog.after(session, {Q: place(tasks[1])}, 9)) == [
            task.id for task in tasks[2:]
        ]

    def test_tasks_of_one_instant_are_told_apart(self, session, a_task):
        moment = ago(minutes=1)
        tasks = sorted((a_task(pending_since=moment) for _ in range(6)), key=lambda task: task.id)
        read, here = [], START
        while found := backlog.after(session, {Q: here}, 2):
            read += ids(found)
            here = found[-1].place

        assert read == [task.id for task in tasks]

    def test_each_queue_has_its_own_place_and_bound(self, session, a_task):
        low = Queue("default", Priority.LOW)
        first, second = (a_task(pending_since=ago(minutes=n)) for n in (9, 8))
        early, late = (a_task(priority="low", pending_since=ago(minutes=n)) for n in (7, 6))

        found = backlog.after(
            session,
            {low: START, Q: place(first)},
            9,
            before={low: late.pending_since, Q: ago()},
        )

        assert ids(found) == [early.id, second.id]

    def test_young_ones_are_left_out(self, session, a_task):
        old = a_task(pending_since=ago(seconds=10))
        a_task(pending_since=ago(seconds=1))

        assert ids(backlog.after(session, {Q: START}, 9, older_than=timedelta(seconds=3))) == [
            old.id
        ]

    def test_no_queue_is_no_question(self, session):
        assert backlog.after(session, {}, 9) == []

    @pytest.mark.parametrize("bound", [None, ago(days=3)])
    def test_a_look_reads_few_entries_of_a_large_backlog(self, session, bound):
        session.execute(
            text("""
                INSERT INTO tasks (id, name, payload, queue_name, priority, status, timeout,
                    max_retries, pending_since)
                SELECT gen_random_uuid(), 'k', '{}', 'default', 'normal', 'pending', 1, 0,
                    now() - interval '1 day' + n * interval '1 ms'
                FROM generate_series(1, 20000) AS n
            """)
        )
        session.execute(text("ANALYZE tasks"))
        asked: list[tuple[str, object]] = []
        event.listen(
            database.engine(), "before_cursor_execute", lambda *said: asked.append(said[2:4])
        )
        backlog.after(session, {Q: START}, 10, before={Q: bound} if bound else None)

        statement, parameters = asked[-1]
        plan = session.connection().exec_driver_sql(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, parameters
        )
        read = plan.scalar_one()[0]["Plan"]["Shared Hit Blocks"]

        assert read < 200


def test_what_nobody_needs_is_of_no_task_or_of_one_that_ended(session, a_task):
    ended = [a_task(status).id for status in FINISHED]
    unfinished = [a_task(status).id for status in set(Status) - FINISHED]
    just_now = a_task(Status.SUCCEEDED, finished_at=ago(seconds=1)).id
    nobody = uuid4()

    over, unknown = backlog.unneeded(
        session, [*ended, *unfinished, just_now, nobody], timedelta(minutes=1)
    )

    assert over == set(ended)
    assert unknown == {nobody}


def test_the_oldest_of_each_queue_is_told(session, a_task):
    old, young = a_task(pending_since=ago(minutes=2)), a_task(pending_since=ago(minutes=1))
    running = a_task(Status.RUNNING, pending_since=ago(minutes=9))

    assert backlog.oldest(session, [old.id, young.id, running.id]) == {Q: old.pending_since}
    assert backlog.running(session, [old.id, running.id]) == {running.id}
    assert ids(backlog.pending(session, [young.id, old.id, running.id])) == [old.id, young.id]


def test_the_life_of_redis_is_one_row(session):
    assert backlog.look(session).epoch is None
    for epoch in ("first", "second"):
        backlog.remember_epoch(session, epoch)
        assert backlog.look(session).epoch == epoch
