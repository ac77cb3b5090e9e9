"""Any task's life, told from what is recorded anyway: its row, its attempts, the audit.

Nothing is written for it on the hot path: each start and end stands in an attempt, each dispatch
is the time from which the next attempt had been pending, and what clients and the clock did to an
unstarted task stands in the audit.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from tasks.audit import PENDING_SINCE
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
    known = sorted([*_asked(audited), *_executed(executions)], key=lambda each: each.event.at)
    return _in_order(task, known)


class Known(NamedTuple):
    """An event on record, and since when the task had been pending before it, if it was."""

    event: Event
    pending_since: datetime | None = None


def _asked(audited: Sequence[AuditEntry]) -> Iterator[Known]:
    for entry in audited:
        move = AUDITED[entry.action]
        if entry.from_status is not Status.RUNNING:  # the attempt tells of that one
            since = (entry.details or {}).get(PENDING_SINCE)
            yield Known(
                Event(entry.at, _name(move), move.by, entry.from_status, move.target, None),
                datetime.fromisoformat(since) if since else None,
            )


def _executed(executions: Sequence[Attempt]) -> Iterator[Known]:
    for each in executions:
        yield Known(
            Event(
                each.started_at, "start", Force.WORKER, Status.PENDING, Status.RUNNING, each.number
            ),
            each.pending_since,
        )
        if each.ended_at is not None:
            move = Move[each.move.upper()]
            yield Known(
                Event(each.ended_at, _name(move), move.by, Status.RUNNING, move.target, each.number)
            )


def _in_order(task: Task, known: list[Known]) -> list[Event]:
    """Begin with the submission, and add a dispatch wherever a scheduled task became pending.

    An event follows the one that led to where it starts: a transaction that waited for another
    carries the earlier time.
    """
    first = known[0] if known else Known(_now_at(task), task.pending_since)
    by = Force.CLOCK if task.schedule_id else Force.CLIENT
    whole = [Event(task.created_at, "submit", by, None, _initial(task, first), None)]
    while known:
        here = whole[-1].to_status
        following = next((each for each in known if _may_follow(here, each.event)), known[0])
        known.remove(following)
        event, since = following
        if here is Status.SCHEDULED and event.from_status is Status.PENDING:
            whole.append(_dispatch(min(since or event.at, event.at)))
        whole.append(event._replace(at=max(event.at, whole[-1].at)))
    if whole[-1].to_status is Status.SCHEDULED and task.status is Status.PENDING:
        whole.append(_dispatch(task.pending_since or task.updated_at))
    return whole


def _initial(task: Task, first: Known) -> Status:
    """Where the submission put the task: both times are equal if it was pending at once."""
    since = first.pending_since or task.created_at
    dispatched = first.event.from_status is Status.PENDING and since > task.created_at
    scheduled = first.event.from_status is Status.SCHEDULED
    return Status.SCHEDULED if dispatched or scheduled else Status.PENDING


def _may_follow(here: Status, event: Event) -> bool:
    return event.from_status is here or (
        here is Status.SCHEDULED and event.from_status is Status.PENDING
    )


def _now_at(task: Task) -> Event:
    """Nothing has happened to it yet: it is where it was put, or was dispatched at most."""
    return Event(task.updated_at, "", Force.CLOCK, task.status, task.status, None)


def _dispatch(at: datetime) -> Event:
    return Event(at, "dispatch", Force.CLOCK, Status.SCHEDULED, Status.PENDING, None)


def _name(move: Move) -> str:
    return move.name.lower()
