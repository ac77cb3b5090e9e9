"""What clients receive about schedules; `api.schedule_schemas` describes it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api.auth import grant
from api.paging import cursor_after
from tasks import recurrence, schedules, sealing
from tasks.keys import Scope
from tasks.models import Schedule
from tasks.recurrence import EPOCH, INSTANT, Tick
from tasks.schedule_actions import Backfill
from tasks.schedules import FirePage, Page


def schedule(schedule: Schedule) -> dict[str, Any]:
    """A schedule; without `payloads:read` it tells nothing of its payload."""
    shown = grant().allows(Scope.PAYLOADS_READ)
    return {
        "id": schedule.id,
        "name": schedule.name,
        "task": {
            "name": schedule.task_name,
            "payload": sealing.shown(schedule.task_name, schedule.payload) if shown else None,
            "queue_name": schedule.queue_name,
            "priority": schedule.priority,
            "labels": schedule.labels,
            "max_retries": schedule.max_retries,
            "timeout": float(schedule.timeout),
        },
        "cron": schedule.cron,
        "every": schedule.every,
        "at": in_utc(schedule.at),
        "timezone": schedule.timezone,
        "starts_at": in_utc(schedule.starts_at),
        "ends_at": in_utc(schedule.ends_at),
        "gap": schedule.gap,
        "jitter": schedule.jitter,
        "overlap": schedule.overlap,
        "missed": schedule.missed,
        "catchup_window": schedule.catchup_window,
        "pause_after_failures": schedule.pause_after_failures,
        "paused": schedule.paused,
        "pause_reason": schedule.pause_reason,
        "note": schedule.note,
        "next_fire_at": in_utc(schedule.next_fire_at),
        "last_fire_at": in_utc(schedule.last_fire_at),
        "created_at": in_utc(schedule.created_at),
        "updated_at": in_utc(schedule.updated_at),
    }


def in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def page(page: Page) -> dict[str, Any]:
    return {
        "items": [schedule(each) for each in page.items],
        "next_cursor": cursor_after(page.last),
    }


def ticks(schedule: Schedule, found: Sequence[Tick]) -> list[dict[str, Any]]:
    rule = schedules.rule_of(schedule)
    return [
        {
            "scheduled_for": tick.at,
            "local": tick.at.astimezone(rule.zone).isoformat(),
            "note": recurrence.note(rule, tick),
        }
        for tick in found
    ]


def backfill(done: Backfill) -> dict[str, Any]:
    return schedule(done.schedule) | {
        "backfill": {
            "dry_run": done.dry_run,
            "count": len(done.ticks),
            "items": ticks(done.schedule, done.ticks),
        }
    }


def fires(page: FirePage) -> dict[str, Any]:
    last = None if page.last is None else UUID(int=(page.last - EPOCH) // INSTANT)
    return {
        "items": [
            {
                "scheduled_for": in_utc(fire.scheduled_for),
                "fired_at": in_utc(fire.fired_at),
                "outcome": fire.outcome,
                "reason": fire.reason,
                "task_id": fire.task_id,
            }
            for fire in page.items
        ],
        "next_cursor": cursor_after(last),
    }
