"""Schedules for tests, in any state: with ticks behind them, paused, with failed tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from uuid_utils.compat import uuid7

from tasks import policies, schedules, zones
from tasks.database import sessions
from tasks.lifecycle import Priority
from tasks.models import Schedule, ScheduleFire, Task
from tasks.policies import FireOutcome, Missed, Overlap
from tasks.recurrence import Gap
from tests.rows import ago


def a_schedule(*, due: bool = True, **columns: Any) -> Schedule:
    """A schedule, minutely if nothing else is said, whose ticks were decided until 50 s ago.

    Any column can be given. With `due=False` it has no tick behind it.
    """
    schedule = Schedule(**{
        "id": uuid7(),
        "name": f"schedule {uuid7()}",
        "task_name": "example_task",
        "payload": {"message": "tick"},
        "queue_name": "default",
        "priority": Priority.NORMAL,
        "labels": {},
        "max_retries": 3,
        "timeout": 60.0,
        "cron": None if {"every", "at"} & columns.keys() else "* * * * *",
        "timezone": "UTC",
        "gap": Gap.RUN_AFTER,
        "jitter": 0.0,
        "overlap": Overlap.ALLOW,
        "missed": Missed.RUN_ALL,
        "catchup_window": 86_400.0,
        "paused": False,
        "decided_until": ago(minutes=1) if due else ago(),
        "zone_version": zones.VERSION,
        "failures_from": ago(days=1),
        "created_at": ago(days=1),
        "updated_at": ago(days=1),
        **columns,
    })  # fmt: skip
    if not schedule.paused and "next_fire_at" not in columns:
        schedule.next_fire_at = policies.next_fire_at(schedules.standing_of(schedule))
    with sessions.begin() as session:
        session.add(schedule)
    return schedule


def fires_of(schedule_id: UUID) -> Sequence[ScheduleFire]:
    """What became of its ticks, oldest first."""
    with sessions.begin() as session:
        return session.scalars(
            select(ScheduleFire)
            .where(ScheduleFire.schedule_id == schedule_id)
            .order_by(ScheduleFire.scheduled_for)
        ).all()


def outcomes_of(schedule_id: UUID) -> list[FireOutcome]:
    return [fire.outcome for fire in fires_of(schedule_id)]


def tasks_of(schedule_id: UUID) -> Sequence[Task]:
    """The tasks it submitted, in the order of its ticks."""
    with sessions.begin() as session:
        return session.scalars(
            select(Task).where(Task.schedule_id == schedule_id).order_by(Task.scheduled_for)
        ).all()


def reread(schedule: Schedule) -> Schedule:
    with sessions.begin() as session:
        return schedules.find(session, schedule.id)


def database_time() -> datetime:
    with sessions.begin() as session:
        return session.scalars(select(func.clock_timestamp())).one()
