"""How long what is over is kept: old rows go in small batches, so that no lock is held for long."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from tasks.lifecycle import Status
from tasks.models import Attempt, AuditEntry, QueueStat, Task

SLACK = timedelta(minutes=10)  # what another scheduler was about to delete when it died


class Pruned(NamedTuple):
    """What one batch did."""

    n: int
    until: datetime  # whatever finished before that and may go has gone


def prune(
    session: Session, status: Status, keep: timedelta, limit: int, since: datetime | None = None
) -> Pruned:
    """Delete up to `limit` tasks that ended like this longer ago than `keep`, with their attempts.

    The oldest go first, from `since` on; rows that another scheduler holds are skipped.
    """
    bound = func.now() - keep
    old = (
        select(Task.id, Task.finished_at)
        .where(Task.status == status, Task.finished_at < bound)
        .order_by(Task.finished_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if since is not None:
        old = old.where(Task.finished_at >= since)
    here = old.cte("old")
    gone = (
        delete(Task).where(Task.id == here.c.id).returning(Task.id, here.c.finished_at).cte("gone")
    )
    attempts = delete(Attempt).where(Attempt.task_id == gone.c.id).cte("attempts_gone")
    n, last, everything = session.execute(
        select(func.count(), func.max(gone.c.finished_at), bound - SLACK)
        .select_from(gone)
        .add_cte(attempts)
    ).one()
    return Pruned(n, last if n == limit else everything)


def prune_queue_stats(session: Session, keep: timedelta) -> int:
    """Delete the minutes of queues that are older; return how many rows."""
    gone = session.execute(
        delete(QueueStat).where(QueueStat.minute < func.now() - keep).returning(QueueStat.minute)
    )
    return len(gone.all())


def prune_audit(session: Session, keep: timedelta, limit: int) -> int:
    """Delete up to `limit` entries of the audit that are older; return how many.

    Ids grow with time, so the oldest are found without looking through the others.
    """
    oldest = select(AuditEntry.id, AuditEntry.at).order_by(AuditEntry.id).limit(limit).subquery()
    old = select(oldest.c.id).where(oldest.c.at < func.now() - keep)
    gone = session.execute(
        delete(AuditEntry).where(AuditEntry.id.in_(old)).returning(AuditEntry.id)
    )
    return len(gone.all())
