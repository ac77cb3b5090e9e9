"""The groups that tasks fall into: kind, queue, status and priority; each is in order of time.

There are few groups and many tasks. The index `tasks_listed` is ordered by group, so its groups are
found by skipping from one to the next, and the newest tasks of any selection of groups by reading
each from its end: the cost depends on the number of groups and not on that of tasks.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    bindparam,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.orm import Session

from tasks.models import Task


class Group(NamedTuple):
    """What some tasks have in common."""

    name: str
    queue_name: str
    status: str
    priority: str


# The rows are compared as a whole, and ordered by all of the index, so that no other index and no
# estimate of the planner's can come into play: it believes that what is rare is evenly spread.
GROUPS = text(
    """
    WITH RECURSIVE found AS (
        (SELECT name, queue_name, status, priority, 1 AS n FROM tasks
         WHERE CAST(:name AS text) IS NULL OR name = :name
         ORDER BY name, queue_name, status, priority LIMIT 1)
        UNION ALL
        SELECT following.*, n + 1 FROM found CROSS JOIN LATERAL (
            SELECT name, queue_name, status, priority FROM tasks
            WHERE (name, queue_name, status, priority)
                  > (found.name, found.queue_name, found.status, found.priority)
              AND (CAST(:name AS text) IS NULL OR name <= :name)
            ORDER BY name, queue_name, status, priority LIMIT 1
        ) AS following
        WHERE n < :most
    )
    SELECT name, queue_name, status, priority FROM found
    """
)
_key = (Task.name, Task.queue_name, Task.status, Task.priority, Task.id)


def groups(session: Session, most: int, name: str | None = None) -> Iterator[Group]:
    """The first `most` groups that have tasks, of one kind of task or of all."""
    return (Group(*row) for row in session.execute(GROUPS, {"name": name, "most": most}))


def newest(
    these: Sequence[Group], limit: int, first: UUID, last: UUID, *conditions: ColumnElement[bool]
) -> Select[Any]:
    """The newest tasks of these groups with an id between these two, ends included."""
    group = (
        func.unnest(
            *(
                bindparam(f"group_{column}", [getattr(each, column) for each in these], ARRAY(Text))
                for column in Group._fields
            )
        )
        .table_valued(*Group._fields)
        .render_derived(name="one")
    )
    here = tuple(group.c[column] for column in Group._fields)
    of_group = (
        select(Task.id)
        .where(
            tuple_(*_key) <= tuple_(*here, literal(last)),
            tuple_(*_key) >= tuple_(*here, literal(first)),
            *conditions,
        )
        .order_by(*(column.desc() for column in _key))
        .limit(limit)
        .lateral("of_group")
    )
    ids = (
        select(of_group.c.id)
        .select_from(group)
        .join(of_group, true())
        .order_by(of_group.c.id.desc())
        .limit(limit)
        .subquery()
    )
    return select(Task).join(ids, ids.c.id == Task.id).order_by(Task.id.desc())
