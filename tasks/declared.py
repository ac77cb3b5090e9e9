"""Schedules declared in code, beside the handler that they run.

    @every("0 6 * * *", timezone="Europe/Paris")
    @handles("report.send", Report)
    def send() -> None: ...

They are synchronised when a scheduler starts. A field that somebody changed by hand since then
keeps that value, and a schedule that somebody deleted stays deleted: what code last declared is
remembered, so that a difference can be told from a change in code.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

import orjson
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tasks import catalog, objections, schedule_actions, sealing
from tasks.database import sessions
from tasks.models import DeclaredSchedule, Schedule
from tasks.schedule_plan import Plan, TaskPlan, columns_of, plan_of, task_of

log = logging.getLogger(__name__)

Handler = TypeVar("Handler", bound=Callable[..., Any])

RULES = ("cron", "every", "at")  # changed together
BY_HAND = frozenset({"name", "paused", "pause_reason"})  # never declared


@dataclass(frozen=True)
class Declaration:
    """A schedule as code wants it, for the kind that this function handles."""

    handler: Callable[..., Any]
    name: str | None  # None: the kind's own
    plan: Mapping[str, Any]
    task: Mapping[str, Any]

    def resolve(self) -> tuple[Plan, TaskPlan]:
        """The plan and the task, once the kind is known; `ValueError` without one."""
        kinds = [kind for kind in catalog.kinds().values() if kind.handler is self.handler]
        if len(kinds) != 1:
            raise ValueError(f"@every needs @handles beside it, on {self.handler.__qualname__}.")
        plan = Plan(name=self.name or kinds[0].name, **self.plan)
        return plan, TaskPlan(name=kinds[0].name, **self.task)


_declared: dict[tuple[str, str, str | None], Declaration] = {}


def every(
    when: str | float | timedelta,
    *,
    name: str | None = None,
    payload: Mapping[str, Any] | None = None,
    queue_name: str | None = None,
    priority: str | None = None,
    labels: Mapping[str, str] | None = None,
    max_retries: int | None = None,
    timeout: timedelta | float | None = None,
    **policies: Any,
) -> Callable[[Handler], Handler]:
    """Declare a schedule for the handler below: a cron expression, or seconds.

    `name` must be given when a handler has several. The others are fields of the task and, as
    `policies`, of `tasks.schedule_plan.Plan`: `timezone`, `overlap`, `missed`, `jitter` … Durations
    are seconds or `timedelta`. Raises `ValueError` for a rule that is wrong.
    """
    rule: dict[str, Any] = {"cron": when} if isinstance(when, str) else {"every": _seconds(when)}
    plan = rule | {field: _seconds(value) for field, value in policies.items()}
    if wrong := objections.to_rule(Plan(name=name or "", **plan).rule):
        raise ValueError(" ".join(sentence for found in wrong.values() for sentence in found))
    task = {
        "payload": payload or {},
        "queue_name": queue_name,
        "priority": priority,
        "labels": labels or {},
        "max_retries": max_retries,
        "timeout": _seconds(timeout),
    }

    def declare(handler: Handler) -> Handler:
        key = (handler.__module__, handler.__qualname__, name)
        _declared[key] = Declaration(handler, name, plan, task)
        return handler

    return declare


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def resolve_all() -> list[tuple[Plan, TaskPlan]]:
    """What is declared, or `ValueError` for a declaration without a kind or a name of its own."""
    found = [declaration.resolve() for declaration in _declared.values()]
    names = [plan.name for plan, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"Two declared schedules are called {name!r}: give one a name.")
    return found


def synchronise() -> int:
    """Make, or bring up to date, every declared schedule; say how many were made or changed."""
    touched = 0
    for plan, task in resolve_all():
        with sessions.begin() as session:
            # Of several schedulers that start together, one at a time.
            session.execute(text("SELECT pg_advisory_xact_lock(hashtext('declared_schedules'))"))
            touched += _synchronise(session, plan, task)
    return touched


def _synchronise(session: Session, plan: Plan, task: TaskPlan) -> bool:
    known = session.get(DeclaredSchedule, plan.name)
    schedule = session.scalar(select(Schedule).where(Schedule.name == plan.name).with_for_update())
    declared = _remembered(plan, task, known)
    if known is None:
        if schedule is not None:
            log.warning("schedule %s was made by hand and stays as it is", plan.name)
            return False
        schedule_actions.new(session, plan, task)
        session.add(DeclaredSchedule(name=plan.name, declaration=declared))
        return True
    if schedule is None or known.declaration == declared:
        return False
    before, now = known.declaration, _remembered(plan_of(schedule), task_of(schedule), known)
    changed = {
        field
        for field, value in declared.items()
        if value != before.get(field) and now[field] == before.get(field)
    }
    known.declaration = declared
    if not changed:
        return False
    names = changed | set(RULES) if "rule" in changed else changed
    changes = {each.name: getattr(plan, each.name) for each in fields(Plan) if each.name in names}
    task_changes = {
        each.name: getattr(task, each.name)
        for each in fields(TaskPlan)
        if f"task.{each.name}" in changed
    }
    schedule_actions.apply(session, schedule, changes, task_changes)
    return True


def _remembered(plan: Plan, task: TaskPlan, like: DeclaredSchedule | None) -> dict[str, Any]:
    """What is kept of a declaration, or seen of a schedule, to compare it with what was kept.

    Fields left to the kind are compared by what the kind says; of a payload, which may hold
    secrets, only a digest is kept.
    """
    resolved = columns_of(task)
    own = {field: _plain(value) for field, value in asdict(plan).items() if field not in BY_HAND}
    rule = [own.pop(field) for field in RULES]
    digest = sealing.vault().fingerprint(
        orjson.dumps(task.payload, option=orjson.OPT_SORT_KEYS),
        None if like is None else bytes.fromhex(like.declaration["task.payload"]),
    )
    return own | {
        "rule": rule,
        "task.name": task.name,
        "task.payload": digest.hex(),
        "task.queue_name": resolved["queue_name"],
        "task.priority": resolved["priority"],
        "task.labels": resolved["labels"],
        "task.max_retries": resolved["max_retries"],
        "task.timeout": resolved["timeout"],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    return value
