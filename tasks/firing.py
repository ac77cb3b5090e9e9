"""A due schedule fires: its ticks, their tasks and its next time are one transaction.

A tick is a row, unique by its schedule and its time, so any number of schedulers may try. Each
round takes schedules that nobody else holds, decides their ticks, and writes for all of them at
once. PostgreSQL's clock alone says what is due.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Text, cast, func, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from tasks import audit, policies, schedules, store
from tasks.errors import MoveRefused
from tasks.fire_statements import ADVANCE, FAILING, READY, UNFINISHED, WAITS, WRITE, schedule_table
from tasks.lifecycle import Move
from tasks.policies import FireOutcome, Overlap, Verdict

log = logging.getLogger(__name__)

SCHEDULES = 500  # taken at a time
TICKS = 2000  # decided at a time, for all of them

Taken = Row[*tuple[Any, ...]]  # a schedule held until the commit, see `_taken`


class Shot(NamedTuple):
    """A schedule and what becomes of one of its ticks."""

    schedule: Taken
    verdict: Verdict


@dataclass(slots=True)
class Round:
    """What one round did."""

    schedules: int = 0
    fired: int = 0
    skipped: int = 0
    more: bool = False  # others may still be due


def fire_due(session: Session, limit: int = SCHEDULES) -> Round:
    """Decide and write the ticks of up to `limit` due schedules."""
    due = _taken(
        session,
        schedule_table.c.next_fire_at <= func.now(),
        order=schedule_table.c.next_fire_at,
        limit=limit,
        skip_locked=True,
    )
    if not due:
        return Round()
    failing = pause_failing(session, [schedule.id for schedule in due])
    now = due[0].now
    room = TICKS
    decided: list[tuple[Taken, policies.Decision]] = []
    for schedule in due:
        if schedule.id in failing or room <= 0:
            continue
        try:
            decision = policies.decide(schedules.standing_of(schedule), now, room)
        except Exception as error:  # such as a zone that this database lost; others must fire
            log.exception("schedule %s is paused", schedule.name)
            _pause(session, schedule.id, schedule.name, f"cannot tell when it fires: {error}")
            continue
        room -= len(decision.verdicts)
        decided.append((schedule, decision))
    shots = _without_overlap(session, decided)
    fired = write(session, shots)
    last = {shot.schedule.id: now for shot in fired}
    session.connection().execute(
        ADVANCE,
        {
            "ids": [str(schedule.id) for schedule, _ in decided],
            "decided_until": [decision.decided_until for _, decision in decided],
            "next_fire_at": [decision.next_fire_at for _, decision in decided],
            "last_fire_at": [last.get(schedule.id) for schedule, _ in decided],
        },
    )
    return Round(len(due), len(fired), len(shots) - len(fired), len(due) >= limit or room <= 0)


def release_waiting(session: Session, limit: int = SCHEDULES) -> int:
    """Give ticks their task that waited for an earlier one to finish; say how many."""
    found = session.execute(READY, {"limit": limit}).all()
    if not found:
        return 0
    ticks = {row.schedule_id: row.scheduled_for for row in found}
    taken = _taken(session, schedule_table.c.id.in_(list(ticks)), skip_locked=False)
    shots = [Shot(schedule, Verdict(ticks[schedule.id])) for schedule in taken]
    fired = write(session, shots, over={FireOutcome.WAITING})
    note_fired(session, [shot.schedule.id for shot in fired])
    return len(fired)


def write(session: Session, shots: Sequence[Shot], over: Iterable[FireOutcome] = ()) -> list[Shot]:
    """Write these ticks, each with its task if it fires; return those that fire.

    A tick that is already decided is left alone, unless its outcome is in `over`.
    """
    ids = [
        new_id(shot.schedule.now) if shot.verdict.outcome is FireOutcome.FIRED else None
        for shot in shots
    ]
    if not shots:
        return []
    written = session.connection().execute(
        WRITE,
        {
            "schedule_ids": [str(shot.schedule.id) for shot in shots],
            "scheduled_for": [shot.verdict.at for shot in shots],
            "outcomes": [str(shot.verdict.outcome) for shot in shots],
            "reasons": [shot.verdict.reason for shot in shots],
            "task_ids": [id and str(id) for id in ids],
            "over": [str(outcome) for outcome in over],
        },
    )
    new = {row.task_id for row in written}
    fired = [(id, shot) for id, shot in zip(ids, shots, strict=True) if id in new and id]
    if fired:
        store.insert_tasks(session, [_task(id, *shot) for id, shot in fired])
    return [shot for _, shot in fired]


def note_fired(session: Session, ids: Sequence[UUID]) -> None:
    """These schedules have just fired, other than by a tick that was due."""
    session.execute(
        update(schedule_table).where(schedule_table.c.id.in_(ids)).values(last_fire_at=func.now())
    )


def new_id(now: datetime) -> UUID:
    """A task's id, which holds PostgreSQL's time, whatever this machine's clock says."""
    milliseconds = int(now.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | uuid7().int & (1 << 80) - 1)


def _task(id: UUID, schedule: Taken, verdict: Verdict) -> dict[str, Any]:
    return {
        "id": id,
        "name": schedule.task_name,
        "payload": schedule.payload,
        "queue_name": schedule.queue_name,
        "priority": schedule.priority,
        "timeout": schedule.timeout,
        "max_retries": schedule.max_retries,
        "labels": schedule.labels,
        "schedule_id": schedule.id,
        "scheduled_for": verdict.at,
    }


def take(session: Session, schedule_id: UUID) -> Taken:
    """One schedule as `write` wants it, held until the commit, or `ScheduleNotFound`."""
    schedules.find(session, schedule_id, to_change=True)
    (taken,) = _taken(session, schedule_table.c.id == schedule_id, skip_locked=False)
    return taken


def _taken(
    session: Session,
    which: ColumnElement[bool],
    *,
    order: ColumnElement[Any] | None = None,
    limit: int | None = None,
    skip_locked: bool,
) -> Sequence[Taken]:
    """Schedules held until the commit, with JSON as text and PostgreSQL's time as `now`."""
    as_text = ("payload", "labels")
    columns = [
        cast(column, Text).label(column.name) if column.name in as_text else column
        for column in schedule_table.c
    ]
    statement = (
        select(*columns, func.clock_timestamp().label("now"))
        .where(which)
        .order_by(order)
        .limit(limit)
        .with_for_update(skip_locked=skip_locked)
    )
    return session.connection().execute(statement).all()


def _without_overlap(
    session: Session, decided: Sequence[tuple[Taken, policies.Decision]]
) -> list[Shot]:
    """The verdicts, once the overlap policies have seen which schedules have unfinished tasks."""
    alone = [str(schedule.id) for schedule, _ in decided if schedule.overlap is not Overlap.ALLOW]
    busy: dict[UUID, list[UUID]] = {}
    waiting: set[UUID] = set()
    if alone:
        for row in session.execute(UNFINISHED, {"ids": alone}):
            busy.setdefault(row.schedule_id, []).append(row.id)
        waiting = {row.schedule_id for row in session.execute(WAITS, {"ids": alone})}
    shots = []
    for schedule, decision in decided:
        unfinished = busy.get(schedule.id, [])
        verdicts = policies.without_overlap(
            decision.verdicts,
            schedule.overlap,
            unfinished[0] if unfinished else None,
            schedule.id in waiting,
        )
        fires = any(verdict.outcome is FireOutcome.FIRED for verdict in verdicts)
        if fires and schedule.overlap is Overlap.CANCEL_RUNNING:
            _cancel(session, unfinished, schedule.name)
        shots += [Shot(schedule, verdict) for verdict in verdicts]
    return shots


def _cancel(session: Session, ids: Sequence[UUID], name: str) -> None:
    for id in ids:
        try:
            task, was = store.advance(session, id, Move.CANCEL)
        except MoveRefused:  # it has just finished
            continue
        details = {"reason": f"the next tick of the schedule {name} replaces it"}
        act = audit.of_move(audit.CLOCK, Move.CANCEL, id, was, task.pending_since, details=details)
        audit.record_all(session, [act])


def pause_failing(session: Session, ids: Sequence[UUID] | None = None) -> set[UUID]:
    """Pause the schedules whose last tasks all failed, as many as each allows; return them."""
    which = [] if ids is None else [str(id) for id in ids]
    failing = session.execute(FAILING, {"all": ids is None, "ids": which}).all()
    for id, name, allowed in failing:
        reason = f"its last {allowed} tasks failed" if allowed > 1 else "its last task failed"
        _pause(session, id, name, reason)
    return {row.id for row in failing}


def _pause(session: Session, id: UUID, name: str, reason: str) -> None:
    session.execute(
        update(schedule_table)
        .where(schedule_table.c.id == id)
        .values(paused=True, pause_reason=reason, next_fire_at=None, updated_at=func.now())
    )
    details = {"name": name, "reason": reason}
    audit.record(session, audit.CLOCK, "schedule.pause", subject=str(id), details=details)
