"""Figures come from tallies that change with the tasks themselves, so they equal the table's."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, func, select, text, update

from tasks import stats, store
from tasks.lifecycle import Move, Outcome, Priority, Status
from tasks.models import QueueStat, Task, tally_deltas
from tests.rows import ago
from tests.tasks.test_history import Life
from tests.tasks.test_store import a_row, word


def the_kind(session, name="example_task", priority=Priority.NORMAL) -> stats.KindFigures:
    (kind,) = [
        each for each in stats.kinds(session) if (each.name, each.priority) == (name, priority)
    ]
    return kind


@pytest.fixture(params=["as they come", "compacted"])
def compacting(request, sessions):
    """Figures must not depend on whether the deltas were added up already."""

    def now_or_never() -> None:
        if request.param == "compacted":
            with sessions.begin() as session:
                stats.compact(session)

    return now_or_never


@pytest.mark.parametrize("seed", range(5))
def test_depths_equal_the_tables_counts_after_any_lives(sessions, a_worker, compacting, seed):
    a_worker("w")
    chance = random.Random(seed)
    for _ in range(8):
        life = Life(sessions, delay=chance.choice([None, 60.0]))
        for _ in range(chance.randint(0, 8)):
            possible = [move for move in Move if life.status in move.sources]
            if possible:
                life.make(chance.choice(possible))
        compacting()

    with sessions.begin() as session:
        counted = Counter(session.scalars(select(Task.status)))
        kind = the_kind(session)

    assert kind.depth == {status: counted[status] for status in Status}
    assert kind.submitted == 8


def test_counters_tell_what_ever_happened(sessions, a_task, compacting):
    ends = [
        (Move.SUCCEED, Outcome.SUCCEEDED, {}),
        (Move.SUCCEED, Outcome.SUCCEEDED, {}),
        (Move.FAIL, Outcome.FAILED, {}),
        (Move.RETRY, Outcome.FAILED, {"wait": 1.0}),
    ]
    for move, outcome, more in ends:
        task = a_task(Status.RUNNING)
        with sessions.begin() as session:
            store.settle_many(session, [word(task, move, outcome, **more)])
    compacting()

    with sessions.begin() as session:
        kind = the_kind(session)

    assert kind.finished == {Status.SUCCEEDED: 2, Status.FAILED: 1, Status.CANCELLED: 0}
    assert kind.retried == 1
    assert sum(kind.run.buckets) == 4


def test_pruned_tasks_leave_the_depths_but_not_the_counters(sessions, a_task, compacting):
    a_task(Status.SUCCEEDED)
    with sessions.begin() as session:
        session.execute(delete(Task))
    compacting()

    with sessions.begin() as session:
        kind = the_kind(session)

    assert (kind.submitted, kind.depth[Status.SUCCEEDED]) == (1, 0)


@pytest.mark.parametrize(
    ("waited", "bucket"), [(0.003, 0), (0.03, 3), (0.7, 7), (45, 12), (4000, 15)]
)
def test_waits_fall_into_their_buckets(sessions, a_task, a_worker, waited, bucket):
    a_worker("w")
    task = a_task()
    with sessions.begin() as session:
        session.execute(
            update(Task).values(pending_since=func.now() - text(f"interval '{waited} s'"))
        )
        store.start_many(session, [str(task.id)], "w", ["example_task"])

    with sessions.begin() as session:
        wait = the_kind(session).wait

    assert wait.buckets.index(1) == bucket
    assert wait.seconds == pytest.approx(waited)
    up_to = dict(zip(stats.BOUNDS, wait.cumulative(), strict=True))
    assert up_to["+Inf"] == 1
    assert up_to["1800"] == (0 if bucket == 15 else 1)


def test_the_bounds_of_buckets_are_those_of_the_trigger(session):
    source = session.scalar(text("SELECT prosrc FROM pg_proc WHERE proname = 'tally_tasks'"))

    assert ", ".join(map(str, stats.BUCKETS)) in source


def test_what_changes_no_status_is_not_counted(sessions, a_task):
    a_task()
    with sessions.begin() as session:
        stats.compact(session)
        session.execute(update(Task).values(progress={"done": 1}))

    with sessions.begin() as session:
        assert session.scalar(select(func.count()).select_from(tally_deltas)) == 0


class TestCompacting:
    def test_figures_stay_and_rows_become_few(self, sessions, a_task):
        for _ in range(6):
            a_task()
        with sessions.begin() as session:
            before = stats.kinds(session)
            assert stats.compact(session) == 6
            assert stats.kinds(session) == before
            assert stats.compact(session) == 0
            assert len(list(stats.counts(session))) == 1

    def test_one_process_does_it_at_a_time(self, sessions, a_task):
        a_task()
        with sessions.begin() as one, sessions.begin() as other:
            assert stats.compact(one) == 1
            assert stats.compact(other) == 0

    def test_nothing_is_counted_twice_or_missed_while_tasks_are_made(self, sessions):
        def submit(_: int) -> None:
            with sessions.begin() as session:
                store.insert_tasks(session, [a_row() for _ in range(3)])

        def compact(_: int) -> None:
            with sessions.begin() as session:
                stats.compact(session)

        with ThreadPoolExecutor(4) as pool:
            work = [pool.submit(do, 0) for _ in range(20) for do in (submit, compact)]
            for each in work:
                each.result()

        with sessions.begin() as session:
            assert the_kind(session).submitted == 60

    def test_each_minute_of_a_queue_is_kept(self, sessions, a_task, a_worker):
        a_worker("w")
        for minutes in (0, 2):
            life = Life(sessions)
            for move in (Move.START, Move.RETRY, Move.DISPATCH, Move.START, Move.SUCCEED):
                life.make(move)
            with sessions.begin() as session:
                session.execute(
                    update(tally_deltas).values(
                        at=func.now() - text(f"interval '{minutes} minutes'")
                    )
                )
                stats.compact(session)

        with sessions.begin() as session:
            minutes = session.scalars(select(QueueStat)).all()

        assert len(minutes) == 2
        for each in minutes:
            assert (each.submitted, each.started, each.succeeded) == (1, 2, 1)
            assert (each.failed, each.cancelled, each.retried) == (0, 0, 1)


class TestQueues:
    def test_each_queue_tells_its_depths_and_its_age(self, session, a_task):
        a_task(queue_name="b", pending_since=ago(seconds=30))
        a_task(queue_name="b", pending_since=ago(seconds=90))
        a_task(Status.SCHEDULED, queue_name="b")
        a_task(Status.RUNNING, queue_name="a", priority="low")
        a_task(Status.SUCCEEDED, queue_name="a", priority="critical")

        critical, low, b = stats.queues(session, stats.kinds(session))

        assert [(each.queue_name, each.priority) for each in (critical, low, b)] == [
            ("a", Priority.CRITICAL),
            ("a", Priority.LOW),
            ("b", Priority.NORMAL),
        ]
        assert (b.pending, b.running, b.scheduled) == (2, 0, 1)
        assert 90 <= b.oldest_pending_seconds < 120
        assert (low.running, low.oldest_pending_seconds) == (1, None)
        assert (critical.pending, critical.running, critical.scheduled) == (0, 0, 0)

    def test_rates_are_of_the_last_minute(self, sessions, a_task):
        for _ in range(3):
            a_task(Status.CANCELLED)
        with sessions.begin() as session:
            stats.compact(session)
            (queue,) = stats.queues(session, stats.kinds(session))
            assert queue.submitted_per_minute == 3

            session.execute(
                update(QueueStat).values(minute=QueueStat.minute - text("interval '5 minutes'"))
            )
            (queue,) = stats.queues(session, stats.kinds(session))
            assert queue.submitted_per_minute == 0

    def test_living_workers_count_where_they_serve(self, session, a_task, a_worker):
        a_task(queue_name="mail")
        a_task(queue_name="other")
        a_worker("all")
        a_worker("mail", queues=["mail"])
        a_worker("silent", lease=-1)

        queues = stats.queues(session, stats.kinds(session))

        assert {each.queue_name: each.workers for each in queues} == {"mail": 2, "other": 1}


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "idle"),
        ({"id": "busy"}, "busy"),
        ({"stopping": True}, "stopping"),
        ({"lease": -1}, "silent"),
    ],
)
def test_a_worker_is_in_one_state(session, a_task, a_worker, facts, state):
    a_worker(**({"id": "w", "succeeded": 4, "failed": 2} | facts))
    a_task(Status.RUNNING, worker_id="busy")

    (worker,) = stats.workers(session)

    assert worker.state == state
    assert worker.running == (1 if state == "busy" else 0)
    assert (worker.succeeded, worker.failed, worker.concurrency) == (4, 2, 2)
