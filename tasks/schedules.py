"""Queries about recurring schedules and what became of their ticks."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, Row, bindparam, delete, func, select, text
from sqlalchemy.orm import Session

from tasks import policies, zones
from tasks.errors import ScheduleNotFound
from tasks.express import Express, Hot, execute
from tasks.lifecycle import Priority
from tasks.models import Schedule, ScheduleFire
from tasks.policies import Standing
from tasks.recurrence import Rule


def rule_of(schedule: Schedule | Row[*tuple[Any, ...]]) -> Rule:
    return Rule(
        cron=schedule.cron,
        every=None if schedule.every is None else timedelta(seconds=schedule.every),
        at=schedule.at,
        timezone=schedule.timezone,
        starts_at=schedule.starts_at,
        ends_at=schedule.ends_at,
        gap=schedule.gap,
    )


def standing_of(schedule: Schedule | Row[*tuple[Any, ...]]) -> Standing:
    return Standing(
        id=schedule.id,
        rule=rule_of(schedule),
        decided_until=schedule.decided_until,
        jitter=timedelta(seconds=schedule.jitter),
        missed=schedule.missed,
        catchup_window=timedelta(seconds=schedule.catchup_window),
    )


def begin_anew(schedule: Schedule, now: datetime) -> None:
    """Let a schedule fire from now on, whatever it missed until now."""
    schedule.decided_until = now
    schedule.zone_version = zones.VERSION
    schedule.next_fire_at = None
    if not schedule.paused:
        schedule.next_fire_at = policies.next_fire_at(standing_of(schedule))


def now(session: Session) -> datetime:
    """PostgreSQL's time."""
    moment: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return moment


def find(session: Session, schedule_id: UUID, *, to_change: bool = False) -> Schedule:
    """The schedule of this id, or `ScheduleNotFound`; `to_change` holds it until the commit."""
    schedule = session.get(
        Schedule, schedule_id, populate_existing=True, with_for_update=to_change or None
    )
    if schedule is None:
        raise ScheduleNotFound()
    return schedule


class Page(NamedTuple):
    """Some schedules, and the id after which the next page begins; None on the last page."""

    items: Sequence[Schedule]
    last: UUID | None


def page(
    session: Session,
    limit: int,
    after: UUID | None = None,
    *,
    name: str | None = None,
    paused: bool | None = None,
    queue_names: Collection[str] = (),
) -> Page:
    """Up to `limit` schedules, newest first, that come after the one named `after`."""
    statement = select(Schedule)
    if name is not None:
        statement = statement.where(Schedule.name == name)
    if paused is not None:
        statement = statement.where(Schedule.paused == paused)
    if queue_names:
        statement = statement.where(Schedule.queue_name.in_(sorted(queue_names)))
    if after is not None:
        statement = statement.where(Schedule.id < after)
    found = session.scalars(statement.order_by(Schedule.id.desc()).limit(limit + 1)).all()
    items = found[:limit]
    return Page(items, items[-1].id if len(found) > limit else None)


class FirePage(NamedTuple):
    """Some ticks, and the one before which the next page begins; None on the last page."""

    items: Sequence[ScheduleFire]
    last: datetime | None


def fires(
    session: Session, schedule_id: UUID, limit: int, before: datetime | None = None
) -> FirePage:
    """Up to `limit` decided ticks of a schedule, the latest first."""
    statement = select(ScheduleFire).where(ScheduleFire.schedule_id == schedule_id)
    if before is not None:
        statement = statement.where(ScheduleFire.scheduled_for < before)
    ordered = statement.order_by(ScheduleFire.scheduled_for.desc())
    found = session.scalars(ordered.limit(limit + 1)).all()
    items = found[:limit]
    return FirePage(items, items[-1].scheduled_for if len(found) > limit else None)


class Coming(NamedTuple):
    """A schedule and when it fires next."""

    id: str
    name: str
    queue_name: str
    priority: Priority
    next_fire_at: datetime
    created_at: datetime


SOONEST = Hot(
    "look_at_schedules",
    select(*(getattr(Schedule, name) for name in Coming._fields))
    .where(Schedule.next_fire_at.is_not(None))
    .order_by(Schedule.next_fire_at)
    .limit(bindparam("most", type_=Integer)),
)


def soonest(session: Session | Express, limit: int) -> list[Coming]:
    """The schedules that fire next."""
    return [
        Coming(id, name, queue, Priority(priority), fires.astimezone(UTC), created.astimezone(UTC))
        for id, name, queue, priority, fires, created in execute(session, SOONEST, {"most": limit})
    ]


def recompute(session: Session, limit: int) -> int:
    """Find the next fires of up to `limit` schedules again that an older zone database said.

    A newer one may know another summer time. Returns how many there were.
    """
    statement = (
        select(Schedule)
        .where(Schedule.zone_version < zones.VERSION)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = session.scalars(statement).all()
    for schedule in found:
        schedule.zone_version = zones.VERSION
        if schedule.next_fire_at is not None and schedule.timezone in zones.names():
            schedule.next_fire_at = policies.next_fire_at(standing_of(schedule))
    return len(found)


def prune_fires(session: Session, keep: timedelta, limit: int) -> int:
    """Delete up to `limit` ticks decided longer ago than that, if their tasks are gone."""
    old = (
        select(ScheduleFire.schedule_id, ScheduleFire.scheduled_for)
        .where(
            ScheduleFire.fired_at < func.now() - keep,
            ScheduleFire.outcome != "waiting",
            text("NOT EXISTS (SELECT FROM tasks WHERE tasks.id = schedule_fires.task_id)"),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    statement = (
        delete(ScheduleFire)
        .where(
            ScheduleFire.schedule_id == old.c.schedule_id,
            ScheduleFire.scheduled_for == old.c.scheduled_for,
        )
        .returning(ScheduleFire.schedule_id)
    )
    return len(session.execute(statement).all())
