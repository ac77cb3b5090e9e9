"""Finding tasks: pages by filter, newest first, by keyset and never by OFFSET."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from tasks.lifecycle import Priority, Status
from tasks.models import Attempt, Task
from tasks.store import find


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which tasks to list; None does not restrict."""

    status: Status | None = None
    name: str | None = None
    queue_name: str | None = None
    priority: Priority | None = None
    label: tuple[str, str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    queue_names: Collection[str] = ()  # any of these; empty does not restrict


class Page(NamedTuple):
    """Some tasks, and the id after which the next page begins; None on the last page."""

    items: Sequence[Task]
    last: UUID | None


def page(session: Session, which: Filter, limit: int, after: UUID | None = None) -> Page:
    """Up to `limit` tasks, newest first, that come after the task `after` of an earlier page.

    Ids are UUIDs of version 7, so their order is the order of submission, and bounds on the time
    of creation are bounds on the id as well.
    """
    statement = select(Task)
    for column, value in (
        (Task.status, which.status),
        (Task.name, which.name),
        (Task.queue_name, which.queue_name),
        (Task.priority, which.priority),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if which.queue_names:
        statement = statement.where(Task.queue_name.in_(sorted(which.queue_names)))
    if which.label is not None:
        key, value = which.label
        statement = statement.where(Task.labels != {}, Task.labels.contains({key: value}))
    if which.created_after is not None:
        statement = statement.where(Task.created_at > which.created_after)
        statement = statement.where(Task.id > first_id_of(which.created_after, slack=-60))
    if which.created_before is not None:
        statement = statement.where(Task.created_at < which.created_before)
        statement = statement.where(Task.id < first_id_of(which.created_before, slack=60))
    if after is not None:
        statement = statement.where(Task.id < after)
    found = session.scalars(statement.order_by(Task.id.desc()).limit(limit + 1)).all()
    items = found[:limit]
    return Page(items, items[-1].id if len(found) > limit else None)


def first_id_of(moment: datetime, slack: float) -> UUID:
    """The least version 7 id of a time; `slack` seconds allow for clocks that disagree.

    The id carries the clock of the process that made it, `created_at` that of PostgreSQL.
    """
    milliseconds = max(0, int((moment.timestamp() + slack) * 1000))
    return UUID(int=min(milliseconds, 2**48 - 1) << 80)


def attempts(session: Session, task_id: UUID) -> Sequence[Attempt]:
    """The ended attempts of a task and, while it runs, the one under way, in order.

    The one under way has neither an end nor an outcome. Raises `TaskNotFound`.
    """
    task = find(session, task_id)
    ended = session.scalars(
        select(Attempt).where(Attempt.task_id == task_id).order_by(Attempt.number)
    ).all()
    if task.status is not Status.RUNNING:
        return ended
    under_way = Attempt(
        task_id=task.id,
        number=task.attempt,
        worker_id=task.worker_id,
        pending_since=task.pending_since,
        started_at=task.started_at,
    )
    return [*ended, under_way]
