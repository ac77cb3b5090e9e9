"""What a client may ask of a schedule: make, change, delete, pause, resume, run, backfill."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from tasks import audit, firing, recurrence, schedules, store
from tasks.actions import ANYBODY, Client
from tasks.database import sessions
from tasks.errors import InvalidSchedule, ScheduleNameTaken
from tasks.firing import Shot, Taken
from tasks.models import Schedule, ScheduleFire, Task
from tasks.policies import FireOutcome, Verdict
from tasks.recurrence import INSTANT, Tick
from tasks.schedule_plan import RULE, Plan, TaskPlan, check, columns_of, plan_of, task_of

MOST_AT_ONCE = 1000  # ticks of one backfill
SKIPPED = frozenset(each for each in FireOutcome if each.value.startswith("skipped"))


def create(plan: Plan, task: TaskPlan, by: Client = ANYBODY) -> Schedule:
    """Make a schedule. Raises `InvalidSchedule` or `ScheduleNameTaken`."""
    with sessions.begin() as session:
        schedule = new(session, plan, task)
        _record(session, by, "schedule.create", schedule)
    return schedule


def new(session: Session, plan: Plan, task: TaskPlan) -> Schedule:
    now = schedules.now(session)
    check(plan, now)
    schedule = Schedule(
        id=uuid7(),
        **plan.columns(),
        **columns_of(task),
        failures_from=now,
        created_at=now,
        updated_at=now,
    )
    schedules.begin_anew(schedule, now)
    session.add(schedule)
    _flush(session)
    return schedule


def change(
    schedule_id: UUID,
    changes: Mapping[str, Any],
    task_changes: Mapping[str, Any],
    by: Client = ANYBODY,
) -> Schedule:
    """Change these fields of a schedule and of its task.

    With another rule it begins anew: what the old one missed is not caught up with. Raises as
    `create` does, and `ScheduleNotFound`.
    """
    with sessions.begin() as session:
        schedule = schedules.find(session, schedule_id, to_change=True)
        apply(session, schedule, changes, task_changes)
        fields = sorted([*changes, *(f"task.{name}" for name in task_changes)])
        _record(session, by, "schedule.change", schedule, {"fields": fields})
    return schedule


def apply(
    session: Session,
    schedule: Schedule,
    changes: Mapping[str, Any],
    task_changes: Mapping[str, Any],
) -> None:
    now = schedules.now(session)
    plan = plan_of(schedule).changed(changes)
    if changes.keys() & RULE:
        check(plan, now)
    columns = plan.columns()
    if task_changes:
        known = task_of(schedule, without_payload="payload" in task_changes)
        columns |= columns_of(replace(known, **task_changes))
    if changes.get("paused") is False:
        columns["failures_from"] = now
    for name, value in columns.items():
        setattr(schedule, name, value)
    schedule.updated_at = now
    if changes.keys() & (RULE | {"jitter", "paused"}):
        schedules.begin_anew(schedule, now)
    _flush(session)


def remove(schedule_id: UUID, by: Client = ANYBODY) -> None:
    """Delete a schedule and the history of its ticks; its tasks stay."""
    with sessions.begin() as session:
        schedule = schedules.find(session, schedule_id, to_change=True)
        session.execute(delete(Schedule).where(Schedule.id == schedule_id))
        _record(session, by, "schedule.delete", schedule)


def pause(schedule_id: UUID, reason: str | None = None, by: Client = ANYBODY) -> Schedule:
    """Stop a schedule from firing until it is resumed."""
    with sessions.begin() as session:
        schedule = schedules.find(session, schedule_id, to_change=True)
        schedule.paused, schedule.pause_reason = True, reason
        schedule.next_fire_at = None
        schedule.updated_at = schedules.now(session)
        _record(session, by, "schedule.pause", schedule, {"reason": reason})
    return schedule


def resume(schedule_id: UUID, by: Client = ANYBODY) -> Schedule:
    """Let a paused schedule fire again, from now on: what it slept through is not missed."""
    with sessions.begin() as session:
        schedule = schedules.find(session, schedule_id, to_change=True)
        if schedule.paused:
            now = schedules.now(session)
            schedule.paused, schedule.pause_reason = False, None
            schedule.updated_at = schedule.failures_from = now
            schedules.begin_anew(schedule, now)
            _record(session, by, "schedule.resume", schedule)
    return schedule


def run(schedule_id: UUID, by: Client = ANYBODY) -> Task:
    """Submit the schedule's task now, paused or not, whatever else of it is running."""
    with sessions.begin() as session:
        taken = firing.take(session, schedule_id)
        at = taken.now
        while not firing.write(session, [Shot(taken, Verdict(at, reason="run by hand"))]):
            at += INSTANT  # a tick of this very microsecond exists
        firing.note_fired(session, [schedule_id])
        _record(session, by, "schedule.run", taken)
        task_id = session.scalars(
            select(ScheduleFire.task_id).where(
                ScheduleFire.schedule_id == schedule_id, ScheduleFire.scheduled_for == at
            )
        ).one()
        assert task_id is not None  # noqa: S101  # it fired, and the row says so
        return store.find(session, task_id)


class Backfill(NamedTuple):
    """A schedule, and the ticks of the past that it ran, or would run."""

    schedule: Schedule
    ticks: Sequence[Tick]
    dry_run: bool


def backfill(
    schedule_id: UUID, start: datetime, end: datetime, dry_run: bool, by: Client = ANYBODY
) -> Backfill:
    """Run the ticks in [start, end) that have not fired, beside each other whatever the policy.

    Raises `InvalidSchedule` for times that are no past, and for more than `MOST_AT_ONCE` ticks.
    """
    with sessions.begin() as session:
        schedule = schedules.find(session, schedule_id, to_change=True)
        taken = firing.take(session, schedule_id)
        if end <= start:
            raise InvalidSchedule({"to": ["It must be later than from."]})
        if end > taken.now:
            raise InvalidSchedule({"to": ["It must not lie in the future."]})
        ticks = _unfired(session, schedule, start, end)
        if not dry_run and ticks:
            shots = [Shot(taken, Verdict(tick.at, reason="backfill")) for tick in ticks]
            firing.write(session, shots, over=SKIPPED)
            firing.note_fired(session, [schedule_id])
            session.refresh(schedule)
            details = {"from": start.isoformat(), "to": end.isoformat(), "ticks": len(ticks)}
            _record(session, by, "schedule.backfill", schedule, details)
    return Backfill(schedule, ticks, dry_run)


def _unfired(session: Session, schedule: Schedule, start: datetime, end: datetime) -> list[Tick]:
    found = recurrence.between(schedules.rule_of(schedule), start, end)
    ticks = list(islice((tick for tick in found if not tick.skipped), MOST_AT_ONCE + 1))
    if len(ticks) > MOST_AT_ONCE:
        last = ticks[-1].at
        raise InvalidSchedule(
            {
                "to": [
                    f"That is more than {MOST_AT_ONCE} ticks; the first {MOST_AT_ONCE} "
                    f"lie before {last:%Y-%m-%dT%H:%M:%SZ}."
                ]
            }
        )
    fired = select(ScheduleFire.scheduled_for).where(
        ScheduleFire.schedule_id == schedule.id,
        ScheduleFire.scheduled_for.in_([tick.at for tick in ticks]),
        ScheduleFire.outcome.in_(["fired", "waiting"]),
    )
    tasks = select(Task.scheduled_for).where(
        Task.schedule_id == schedule.id, Task.scheduled_for.in_([tick.at for tick in ticks])
    )
    known = {*session.scalars(fired), *session.scalars(tasks)}
    return [tick for tick in ticks if tick.at not in known]


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if "schedules_name_key" in str(error.orig):
            raise ScheduleNameTaken() from None
        raise


def _record(
    session: Session,
    by: Client,
    action: str,
    schedule: Schedule | Taken,
    details: dict[str, Any] | None = None,
) -> None:
    audit.record(
        session,
        by.principal,
        action,
        subject=str(schedule.id),
        address=by.address,
        details={"name": schedule.name} | (details or {}),
    )
