"""Any task's life, told from what is recorded anyway: its row, its attempts, the audit.

Nothing is written for it on the hot path: each start and end stands in an attempt, each dispatch
is the time from which the next attempt had been pending, and what clients and the clock did to an
unstarted task stands in the audit.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from tasks.lifecycle import Force, Move, Status
from tasks.models import Attempt, AuditEntry, Task
from tasks.search import attempts
from tasks.store import find

AUDITED = {"task.cancel": Move.CANCEL, "task.rerun": Move.RERUN, "task.expire": Move.EXPIRE}


class Event(NamedTuple):
    """One change of status."""

    at: datetime
    move: str  # a move's name, or "submit"
    by: Force
    from_status: Status | None
    to_status: Status
    attempt: int | None  # the attempt it started or ended


def history(session: Session, task_id: UUID) -> list[Event]:
    """Every move of a task's life, oldest first. Raises `TaskNotFound`."""
    task = find(session, task_id)
    executions = attempts(session, task_id)
    audited = session.scalars(
        select(AuditEntry)
        .where(AuditEntry.subject == str(task_id), AuditEntry.action.in_(AUDITED))
        .order_by(AuditEntry.id)
    ).all()
    events = [*_asked(audited), *_executed(executions)]
    return _with_dispatches(task, sorted(events, key=lambda event: event.at), executions)


def _asked(audited: Sequence[AuditEntry]) -> Iterator[Event]:
    for entry in audited:
        move = AUDITED[entry.action]
        if entry.from_status is not Status.RUNNING:  # the attempt tells of that one
            yield Event(entry.at, _name(move), move.by, entry.from_status, move.target, None)


def _executed(executions: Sequence[Attempt]) -> Iterator[Event]:
    for each in executions:
        yield Event(
            each.started_at, "start", Force.WORKER, Status.PENDING, Status.RUNNING, each.number
        )
        if each.ended_at is not None:
            move = Move[each.move.upper()]
            yield Event(
                each.ended_at, _name(move), move.by, Status.RUNNING, move.target, each.number
            )


def _with_dispatches(task: Task, events: list[Event], executions: Sequence[Attempt]) -> list[Event]:
    """Add the submission, and a dispatch wherever a scheduled task is next seen pending."""
    pending_since = {each.number: each.pending_since for each in executions}
    first = events[0].from_status if events else task.status
    began_scheduled = first is Status.SCHEDULED or (
        first is Status.PENDING and _became_pending(task, events, pending_since) > task.created_at
    )
    initial = Status.SCHEDULED if began_scheduled else Status.PENDING
    submitted = Event(
        task.created_at,
        "submit",
        Force.CLOCK if task.schedule_id else Force.CLIENT,
        None,
        initial,
        None,
    )
    told = [submitted, *events]
    whole = [submitted]
    for before, after in pairwise(told):
        if before.to_status is Status.SCHEDULED and after.from_status is Status.PENDING:
            at = pending_since.get(after.attempt or 0) or task.pending_since or after.at
            whole.append(_dispatch(min(at, after.at)))
        whole.append(after)
    if whole[-1].to_status is Status.SCHEDULED and task.status is Status.PENDING:
        whole.append(_dispatch(task.pending_since or task.updated_at))
    return whole


def _became_pending(
    task: Task, events: list[Event], pending_since: dict[int, datetime]
) -> datetime:
    number = events[0].attempt if events else None
    return pending_since.get(number or 0) or task.pending_since or task.created_at


def _dispatch(at: datetime) -> Event:
    return Event(at, "dispatch", Force.CLOCK, Status.SCHEDULED, Status.PENDING, None)


def _name(move: Move) -> str:
    return move.name.lower()
