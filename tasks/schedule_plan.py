"""A schedule as somebody wants it: when it fires, how, and what each tick submits."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from tasks import actions, catalog, objections, sealing
from tasks.actions import Submission
from tasks.errors import InvalidSchedule, InvalidTask, UnknownKind, UnreadableSecret
from tasks.lifecycle import Priority
from tasks.models import Schedule
from tasks.policies import Missed, Overlap
from tasks.recurrence import Gap, Rule

LONGEST_NAME = 100
LONGEST_NOTE = 2000
LONGEST_JITTER = 86_400.0  # seconds
LONGEST_WINDOW = 366 * 86_400.0
MOST_FAILURES = 100
RULE = frozenset({"cron", "every", "at", "timezone", "starts_at", "ends_at", "gap"})


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """What each tick submits; None leaves a field to the kind, then to the service."""

    name: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    queue_name: str | None = None
    priority: Priority | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    max_retries: int | None = None
    timeout: float | None = None  # seconds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """When and how a schedule fires; durations are in seconds."""

    name: str
    cron: str | None = None
    every: float | None = None
    at: datetime | None = None
    timezone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    gap: Gap = Gap.RUN_AFTER
    jitter: float = 0.0
    overlap: Overlap = Overlap.ALLOW
    missed: Missed = Missed.RUN_ONCE
    catchup_window: float = 86_400.0
    pause_after_failures: int | None = None
    paused: bool = False
    pause_reason: str | None = None
    note: str | None = None

    @property
    def rule(self) -> Rule:
        return Rule(
            cron=self.cron,
            every=None if self.every is None else timedelta(seconds=self.every),
            at=self.at,
            timezone=self.timezone,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            gap=self.gap,
        )

    def changed(self, changes: Mapping[str, Any]) -> "Plan":
        """This plan with some fields changed.

        A new rule replaces the old one: with `cron` given, `every` and `at` are none any more.
        """
        if any(changes.get(name) is not None for name in ("cron", "every", "at")):
            changes = dict.fromkeys(("cron", "every", "at")) | dict(changes)
        return replace(self, **changes)

    def columns(self) -> dict[str, Any]:
        """The values of its row."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return found if self.paused else found | {"pause_reason": None}


def check(plan: Plan, now: datetime) -> None:
    """Raise `InvalidSchedule` with a sentence for each thing that is wrong with the rule."""
    found = objections.to_rule(plan.rule) or objections.to_future(plan.rule, now)
    if found:
        raise InvalidSchedule(found)


def columns_of(task: TaskPlan) -> dict[str, Any]:
    """The values of a schedule's row for its task, or `InvalidSchedule` if it would be refused."""
    try:
        row = actions.row_of(Submission(**vars(task)))
    except UnknownKind as unknown:
        raise InvalidSchedule({"task": {"name": [str(unknown)]}}) from None
    except InvalidTask as invalid:
        raise InvalidSchedule({"task": invalid.messages}) from None
    return {
        "task_name": row["name"],
        "payload": orjson.loads(row["payload"]),
        "queue_name": row["queue_name"],
        "priority": row["priority"],
        "labels": dict(task.labels),
        "max_retries": row["max_retries"],
        "timeout": row["timeout"],
    }


def plan_of(schedule: Schedule) -> Plan:
    """The plan that a row carries out."""
    return Plan(**{each.name: getattr(schedule, each.name) for each in fields(Plan)})


def task_of(schedule: Schedule, without_payload: bool = False) -> TaskPlan:
    """What a row submits at each tick, its secrets in the open.

    `InvalidSchedule` if they cannot be opened any more; `without_payload` they need not be.
    """
    kind = catalog.kinds().get(schedule.task_name)
    payload: Mapping[str, Any] = {} if without_payload else schedule.payload
    if kind is not None:
        try:
            payload, _ = sealing.unseal(kind, payload)
        except UnreadableSecret as problem:
            raise InvalidSchedule({"task": {"payload": [f"{problem} Give it anew."]}}) from None
    return TaskPlan(
        name=schedule.task_name,
        payload=payload,
        queue_name=schedule.queue_name,
        priority=schedule.priority,
        labels=schedule.labels,
        max_retries=schedule.max_retries,
        timeout=schedule.timeout,
    )
