"""Finding tasks: pages by filter, newest first, by keyset and never by OFFSET."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Uuid, bindparam, select
from sqlalchemy.orm import Session, aliased

from tasks import groups
from tasks.groups import Group
from tasks.lifecycle import Priority, Status
from tasks.models import LABEL_LENGTH, Attempt, Task, TaskLabel
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

    @property
    def names_a_group(self) -> bool:
        return bool(
            self.status or self.name or self.queue_name or self.priority or self.queue_names
        )


class Page(NamedTuple):
    """Some tasks, and the id after which the next page begins; None on the last page."""

    items: Sequence[Task]
    last: UUID | None


AT_ONCE = 2_000  # newest tasks that a search looks through before it asks which groups there are
GROUPS = 1_000  # up to so many, it reads each from its end
PATIENCE = 10_000  # tasks that a search looks through at most before its page ends
LABELLED = 2_000  # the same, of those with its label: each is fetched from its own place

# The next tasks, or those with a label, and so many of them to be looked at. They are built once:
# SQLAlchemy takes as long for that as for all else in a page.
_first, _last = bindparam("first", type_=Uuid), bindparam("last", type_=Uuid)
_effort = bindparam("effort", type_=Integer)
_ids = select(Task.id).where(Task.id.between(_first, _last))
_window = _ids.with_only_columns(Task).order_by(Task.id.desc()).limit(_effort).subquery("next")
_Next = aliased(Task, _window)
_labelled = select(TaskLabel.task_id).where(
    TaskLabel.key == bindparam("key"),
    TaskLabel.value == bindparam("value"),
    TaskLabel.task_id.between(_first, _last),
)
_labelled_window = _labelled.order_by(TaskLabel.task_id.desc()).limit(_effort).subquery("next")
_NEXT = select(_Next).order_by(_Next.id.desc())
_NEXT_LABELLED = (
    select(Task)
    .join(_labelled_window, _labelled_window.c.task_id == Task.id)
    .order_by(Task.id.desc())
)


def page(session: Session, which: Filter, limit: int, after: UUID | None = None) -> Page:
    """Up to `limit` tasks, newest first, that come after the task `after` of an earlier page.

    A page may have fewer, even none, and still say where the next one begins: no search looks
    through any number of tasks at once. Only those by label and something else come to that.
    """
    if which.label is not None:
        return _look_through(session, which, limit, after, LABELLED)
    if not which.names_a_group:
        return _look_through(session, which, limit, after, PATIENCE)
    found = _among_the_next(session, which, limit, after, AT_ONCE)
    if len(found) > limit:
        return _page(found, limit)
    these = _groups(session, which)
    if these is None:
        return _look_through(session, which, limit, after, PATIENCE)
    first, last = _ends(which, after)
    statement = groups.newest(these, limit + 1, first, last, *_in_time(Task, which))
    return _page(session.scalars(statement).all(), limit)


def _groups(session: Session, which: Filter) -> list[Group] | None:
    """The groups in which there may be some; None if there are too many groups."""
    found = list(groups.groups(session, GROUPS, which.name))
    if len(found) == GROUPS:
        return None
    return [
        each
        for each in found
        if which.status in (None, each.status)
        and which.queue_name in (None, each.queue_name)
        and which.priority in (None, each.priority)
        and (not which.queue_names or each.queue_name in which.queue_names)
    ]


def _look_through(
    session: Session, which: Filter, limit: int, after: UUID | None, effort: int
) -> Page:
    """A page of what is among the next `effort` tasks; it tells where they end."""
    found = _among_the_next(session, which, limit, after, effort)
    if len(found) > limit:
        return _page(found, limit)
    ids = _ids if which.label is None else _labelled
    (id,) = ids.selected_columns
    reached = ids.order_by(id.desc()).offset(_effort - 1).limit(1)
    return _page(found, limit, session.scalar(reached, _where(which, after, effort)))


def _among_the_next(
    session: Session, which: Filter, limit: int, after: UUID | None, effort: int
) -> Sequence[Task]:
    """The first that are wanted of the next `effort` tasks, or of so many with the label."""
    task, these = (_Next, _NEXT) if which.label is None else (Task, _NEXT_LABELLED)
    wanted = these.where(*_conditions(task, which), *_in_time(task, which)).limit(limit + 1)
    return session.scalars(wanted, _where(which, after, effort)).all()


def _where(which: Filter, after: UUID | None, effort: int) -> dict[str, Any]:
    """The parameters of a window: where it begins and ends, and how large it is."""
    first, last = _ends(which, after)
    key, value = (part[:LABEL_LENGTH] for part in which.label or ("", ""))
    return {"first": first, "last": last, "effort": effort} | (
        {"key": key, "value": value} if which.label is not None else {}
    )


def _page(found: Sequence[Task], limit: int, reached: UUID | None = None) -> Page:
    items = found[:limit]
    return Page(items, items[-1].id if len(found) > limit else reached)


def _conditions(task: type[Task], which: Filter) -> Iterator[ColumnElement[bool]]:
    for column, value in (
        (task.status, which.status),
        (task.name, which.name),
        (task.queue_name, which.queue_name),
        (task.priority, which.priority),
    ):
        if value is not None:
            yield column == value
    if which.queue_names:
        yield task.queue_name.in_(sorted(which.queue_names))
    if which.label is not None:
        key, value = which.label
        yield task.labels.contains({key: value})


def _in_time(task: type[Task], which: Filter) -> Iterator[ColumnElement[bool]]:
    if which.created_after is not None:
        yield task.created_at > which.created_after
    if which.created_before is not None:
        yield task.created_at < which.created_before


def _ends(which: Filter, after: UUID | None) -> tuple[UUID, UUID]:
    """The least and the greatest id to look at.

    Ids are UUIDs of version 7, so their order is the order of submission, and bounds on the time
    of creation are bounds on the id as well.
    """
    first, last = UUID(int=0), UUID(int=2**128 - 1)
    if which.created_after is not None:
        first = first_id_of(which.created_after, slack=-60)
    if which.created_before is not None:
        last = first_id_of(which.created_before, slack=60)
    if after is not None:
        last = min(last, UUID(int=max(0, after.int - 1)))
    return first, last


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
