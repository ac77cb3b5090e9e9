"""What is over is kept as long as it was promised, and not longer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from scheduler.forget_idempotency_keys import forget_idempotency_keys
from scheduler.prune_audit import prune_audit
from scheduler.prune_finished import prune_finished
from scheduler.prune_statistics import prune_statistics
from tasks import idempotency, retention
from tasks.lifecycle import FINISHED, Status
from tasks.models import Attempt, AuditEntry, IdempotencyKey, QueueStat, Task
from tests.rows import ago

WEEK = timedelta(days=7)
KEEP = {Status.SUCCEEDED: WEEK, Status.FAILED: 4 * WEEK, Status.CANCELLED: timedelta()}


def left(sessions) -> set[object]:
    with sessions.begin() as session:
        return set(session.scalars(select(Task.id)))


def test_each_status_is_kept_as_long_as_it_says(sessions, a_task):
    old, older = ago(days=8), ago(days=29)
    gone = [a_task(Status.SUCCEEDED, finished_at=old), a_task(Status.FAILED, finished_at=older)]
    gone += [a_task(Status.CANCELLED, finished_at=ago(seconds=1))]
    kept = [a_task(Status.FAILED, finished_at=old), a_task(Status.SUCCEEDED, finished_at=ago())]

    assert prune_finished(KEEP, {}, 100) == 3

    assert left(sessions) == {task.id for task in kept}
    assert left(sessions).isdisjoint(task.id for task in gone)


@pytest.mark.parametrize("status", sorted(set(Status) - FINISHED))
def test_what_has_not_finished_is_never_pruned(sessions, a_task, status):
    task = a_task(status, created_at=ago(days=400))

    assert prune_finished(KEEP, {}, 100) == 0
    assert left(sessions) == {task.id}


def test_attempts_go_with_their_task(sessions, a_task):
    a_task(Status.SUCCEEDED, attempt=3, finished_at=ago(days=8))
    kept = a_task(Status.SUCCEEDED, attempt=2)

    prune_finished(KEEP, {}, 100)

    with sessions.begin() as session:
        assert set(session.scalars(select(Attempt.task_id))) == {kept.id}


def test_batches_are_small_and_the_oldest_go_first(sessions, a_task):
    tasks = [a_task(Status.SUCCEEDED, finished_at=ago(days=20 - n)) for n in range(5)]
    places = {}

    assert prune_finished(KEEP, places, 2) == 2
    assert left(sessions) == {task.id for task in tasks[2:]}
    assert [prune_finished(KEEP, places, 2) for _ in range(3)] == [2, 1, 0]


def test_a_pass_goes_on_where_the_last_one_came_to(sessions, a_task):
    places = {}
    prune_finished(KEEP, places, 100)
    a_task(Status.SUCCEEDED, finished_at=ago(days=7, minutes=1))

    assert prune_finished(KEEP, places, 100) == 1


def test_rows_that_another_scheduler_is_deleting_are_left_to_it(sessions, a_task):
    for n in range(4):
        a_task(Status.SUCCEEDED, finished_at=ago(days=9, seconds=n))
    with sessions.begin() as other:
        assert retention.prune(other, Status.SUCCEEDED, WEEK, 2).n == 2
        assert prune_finished(KEEP, {}, 100) == 2

    assert left(sessions) == set()


def test_old_keys_are_forgotten(sessions):
    with sessions.begin() as session:
        idempotency.remember(session, "p", "old", b"x", bool, [], 24)
        idempotency.remember(session, "p", "new", b"x", bool, [], 24)
        old = session.get(IdempotencyKey, ("p", "old"))
        old.created_at = ago(hours=25)

    assert forget_idempotency_keys(24, 100) == 1

    with sessions.begin() as session:
        assert session.scalars(select(IdempotencyKey.key)).all() == ["new"]


def test_old_statistics_go(sessions):
    figures = dict.fromkeys(
        ("submitted", "started", "succeeded", "failed", "cancelled", "retried"), 0
    )
    with sessions.begin() as session:
        session.add_all(
            QueueStat(
                minute=ago(days=days),
                queue_name="default",
                priority="normal",
                wait_seconds=0,
                run_seconds=0,
                **figures,
            )
            for days in (0, 6, 8, 9)
        )

    assert prune_statistics(WEEK) == 2

    with sessions.begin() as session:
        assert session.scalar(select(func.count()).select_from(QueueStat)) == 2


def an_audit(sessions, *days: float) -> None:
    with sessions.begin() as session:
        session.add_all(
            AuditEntry(principal="k", action=f"act {age:g}", at=ago(days=age)) for age in days
        )


def acts(sessions) -> set[str]:
    with sessions.begin() as session:
        return set(session.scalars(select(AuditEntry.action)))


def test_the_audit_is_kept_as_long_as_it_says_and_goes_in_batches(sessions):
    an_audit(sessions, 93, 92, 91, 89, 1)

    assert [prune_audit(timedelta(days=90), 2) for _ in range(3)] == [2, 1, 0]
    assert acts(sessions) == {"act 89", "act 1"}


def test_the_database_lets_nobody_delete_what_is_younger_than_a_week(sessions):
    an_audit(sessions, 8, 6.9)

    with pytest.raises(IntegrityError, match="append-only"):
        prune_audit(timedelta(days=1), 100)
    with pytest.raises(IntegrityError, match="append-only"), sessions.begin() as session:
        session.execute(delete(AuditEntry))
    with pytest.raises(IntegrityError, match="append-only"), sessions.begin() as session:
        session.execute(update(AuditEntry).values(action="nothing"))

    assert acts(sessions) == {"act 8", "act 6.9"}
