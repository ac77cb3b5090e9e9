"""What a silent worker held gets another attempt, or is given up; what others hold is untouched."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from scheduler.attention import Attention
from scheduler.rescue_silent import rescue_orphans, rescue_silent
from tasks import leases, search, store
from tasks.lifecycle import Move, Outcome, Status
from tasks.store import Holder, Settlement
from tests.rows import ago

LEASE = timedelta(milliseconds=1)  # the test's PostgreSQL has been up for longer


@pytest.fixture
def attention():
    return Attention(LEASE.total_seconds())


def found(sessions, task):
    with sessions.begin() as session:
        return store.find(session, task.id), search.attempts(session, task.id)


def test_a_task_of_a_silent_worker_is_tried_again_later(sessions, a_task, a_worker, attention):
    a_worker("silent", lease=-1)
    task = a_task(Status.RUNNING, worker_id="silent", attempt=2, failures=1)

    assert rescue_silent(LEASE, 3, attention) == 1

    after, attempts = found(sessions, task)
    assert (after.status, after.crashes, after.failures) == (Status.SCHEDULED, 1, 1)
    assert timedelta() <= after.run_at - after.updated_at <= timedelta(seconds=1)
    assert attempts[-1].number == 2
    assert (attempts[-1].outcome, attempts[-1].move) == (Outcome.LOST, "rescue")
    assert after.error == attempts[-1].error
    assert after.error["type"] == "WorkerLost"
    assert "silent" in after.error["message"]
    assert after.error["traceback"] is None


def test_a_task_that_crashed_too_often_is_given_up(sessions, a_task, a_worker, attention):
    a_worker("silent", lease=-1)
    poison = a_task(Status.RUNNING, worker_id="silent", crashes=2)
    other = a_task(Status.RUNNING, worker_id="silent", crashes=1)

    assert rescue_silent(LEASE, 3, attention) == 2

    after, attempts = found(sessions, poison)
    assert (after.status, after.crashes) == (Status.FAILED, 3)
    assert (attempts[-1].outcome, attempts[-1].move) == (Outcome.LOST, "give_up")
    assert "3" in after.error["message"]
    assert found(sessions, other)[0].status is Status.SCHEDULED


def test_a_living_worker_keeps_its_task(sessions, a_task, a_worker, attention):
    a_worker("alive", lease=1)
    task = a_task(Status.RUNNING, worker_id="alive")

    assert rescue_silent(LEASE, 3, attention) == 0

    assert found(sessions, task)[0].status is Status.RUNNING


def test_a_buried_worker_can_say_nothing_more(sessions, a_task, a_worker, attention):
    a_worker("zombie", lease=-1)
    task = a_task(Status.RUNNING, worker_id="zombie")
    rescue_silent(LEASE, 3, attention)

    with sessions.begin() as session:
        assert not leases.renew(session, "zombie", LEASE)
        late = Settlement(str(task.id), Holder(1, "zombie"), Move.SUCCEED, Outcome.SUCCEEDED)
        assert store.settle_many(session, [late]) == []
        assert store.start_many(session, [str(a_task().id)], "zombie", ["example_task"]) == []


def test_what_was_left_behind_without_a_burial_is_rescued_too(sessions, a_task):
    task = a_task(Status.RUNNING, worker_id="never seen")

    assert rescue_orphans(3) == 1

    assert found(sessions, task)[0].status is Status.SCHEDULED


def test_nobody_is_buried_by_who_has_not_kept_watching(sessions, a_worker):
    a_worker("silent", lease=-1)
    attention = Attention(lease=15)
    attention.note(0.0)
    attention.note(6.0)  # PostgreSQL's clock went on for more than a third of a lease

    rescue_silent(LEASE, 3, attention)

    with sessions.begin() as session:
        assert leases.alive(session) == {"silent"}


def test_nobody_is_buried_until_postgresql_has_been_up_for_a_lease(sessions, a_worker):
    a_worker("silent", lease=-1)

    rescue_silent(timedelta(days=1), 3, Attention(lease=86400))

    with sessions.begin() as session:
        assert leases.alive(session) == {"silent"}


def test_a_worker_that_renews_at_this_moment_is_not_buried(sessions, a_worker, attention):
    a_worker("late", lease=-1)
    with sessions.begin() as renewing:
        assert leases.renew(renewing, "late", timedelta(minutes=1))
        rescue_silent(LEASE, 3, attention)

    with sessions.begin() as session:
        assert leases.alive(session) == {"late"}


def test_two_schedulers_rescue_an_attempt_once(sessions, a_task):
    tasks = [a_task(Status.RUNNING, worker_id="gone") for _ in range(4)]
    with sessions.begin() as first:
        assert len(leases.orphans(first, 2)) == 2
        assert rescue_orphans(3) == 2  # the others
    assert rescue_orphans(3) == 2

    assert {found(sessions, task)[0].crashes for task in tasks} == {1}


def test_rescuing_costs_the_same_whatever_is_finished(sessions, a_task):
    a_task(Status.RUNNING, worker_id="gone")
    with sessions.begin() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = session.scalars(
            text(
                "EXPLAIN SELECT 1 FROM tasks WHERE status = 'running' AND NOT EXISTS"
                " (SELECT FROM workers WHERE workers.id = tasks.worker_id)"
            )
        )
        assert "tasks_held" in " ".join(plan)


def test_expired_tasks_that_run_are_rescued_like_others(sessions, a_task):
    task = a_task(Status.RUNNING, worker_id="gone", expires_at=ago(seconds=5))

    rescue_orphans(3)

    assert found(sessions, task)[0].status is Status.SCHEDULED
