"""The pending tasks, as the scheduler reads them to compare them with Redis.

Always by queue, oldest first, in small pieces and by keyset: the cost of a look does not grow with
the backlog.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Row,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, insert
from sqlalchemy.orm import Session

from tasks.broker import Delivery
from tasks.express import Express, Hot, execute
from tasks.lifecycle import Priority, Status
from tasks.models import RedisMemory, Task


class Queue(NamedTuple):
    """A queue name and a priority."""

    queue_name: str
    priority: Priority


class Backlog(NamedTuple):
    """What there is to compare with Redis."""

    epoch: str | None  # the life of Redis that all pending tasks were last pushed to
    queues: list[Queue]  # that have pending tasks, the most urgent first


class Place(NamedTuple):
    """Where in a queue a reader stands: after this task."""

    pending_since: datetime
    id: UUID


class Waiting(NamedTuple):
    """A pending task, and where it stands."""

    delivery: Delivery
    place: Place

    @property
    def queue(self) -> Queue:
        return Queue(self.delivery.queue_name, self.delivery.priority)


START = Place(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
TIMES = ARRAY(TIMESTAMP(timezone=True))
FOREVER = datetime.max.replace(tzinfo=UTC)

# The distinct queues of pending tasks, one index entry each (a "loose index scan").
LOOK = Hot(
    "look_at_backlog",
    text("""
    WITH RECURSIVE queue AS (
        (SELECT queue_name, priority FROM tasks WHERE status = 'pending'
         ORDER BY queue_name, priority LIMIT 1)
        UNION ALL
        SELECT following.* FROM queue CROSS JOIN LATERAL (
            SELECT queue_name, priority FROM tasks
            WHERE status = 'pending' AND (queue_name, priority) > (queue.queue_name, queue.priority)
            ORDER BY queue_name, priority LIMIT 1
        ) AS following
    )
    SELECT epoch, queue_name, priority
    FROM (SELECT (SELECT epoch FROM redis_memory) AS epoch) AS memory LEFT JOIN queue ON true
    """),
)
COLUMNS = (Task.id, Task.name, Task.queue_name, Task.priority, Task.timeout, Task.pending_since)


def look(session: Session | Express) -> Backlog:
    """Where pending tasks stand, in one statement: it is asked every second, busy or not."""
    order = list(Priority)
    rows = execute(session, LOOK, {})
    found = [Queue(name, Priority(priority)) for _, name, priority in rows if priority]
    found.sort(key=lambda queue: (order.index(queue.priority), queue.queue_name))
    return Backlog(rows[0][0], found)


def after(
    session: Session,
    places: Mapping[Queue, Place],
    limit: int,
    *,
    older_than: timedelta = timedelta(),
    before: Mapping[Queue, datetime] | None = None,
) -> list[Waiting]:
    """Up to `limit` pending tasks after these places, queue by queue, each queue's oldest first.

    Only those that became pending longer ago than `older_than` and, where it is given, before
    their queue's time in `before`.
    """
    if not places:
        return []
    reader = (
        func.unnest(
            bindparam("queue_names", [queue.queue_name for queue in places], ARRAY(Text)),
            bindparam("priorities", [str(queue.priority) for queue in places], ARRAY(Text)),
            bindparam("since", [place.pending_since for place in places.values()], TIMES),
            cast(bindparam("ids", [str(p.id) for p in places.values()], ARRAY(Text)), ARRAY(Uuid)),
            bindparam("before", [(before or {}).get(q, FOREVER) for q in places], TIMES),
        )
        .table_valued("queue_name", "priority", "since", "id", "before")
        .render_derived(name="reader")
    )
    mine = (
        select(*COLUMNS)
        .where(
            Task.status == Status.PENDING,
            Task.queue_name == reader.c.queue_name,
            Task.priority == reader.c.priority,
            tuple_(Task.pending_since, Task.id) > tuple_(reader.c.since, reader.c.id),
            Task.pending_since < reader.c.before,
            Task.pending_since <= func.now() - older_than,
        )
        .order_by(Task.pending_since, Task.id)
        .limit(limit)
        .lateral("mine")
    )
    rows = session.execute(select(mine).select_from(reader).join(mine, true()).limit(limit))
    rank = {queue: number for number, queue in enumerate(places)}
    return sorted(map(_waiting, rows), key=lambda each: (rank[each.queue], each.place))


def pending(session: Session, ids: Iterable[UUID]) -> list[Waiting]:
    """Those of these tasks that are pending, the oldest first."""
    rows = session.execute(
        select(*COLUMNS)
        .where(Task.id.in_(list(ids)), Task.status == Status.PENDING)
        .order_by(Task.pending_since, Task.id)
    )
    return [_waiting(row) for row in rows]


def unneeded(
    session: Session, ids: Sequence[UUID], since: timedelta
) -> tuple[set[UUID], set[UUID]]:
    """Those of these ids of tasks that ended longer ago than that, and those of no task."""
    rows = session.execute(
        select(Task.id, Task.finished_at < func.now() - since).where(Task.id.in_(ids))
    ).all()
    return {id for id, ended in rows if ended}, set(ids) - {id for id, _ in rows}


def running(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    """Those of these tasks that run."""
    return set(
        session.scalars(select(Task.id).where(Task.id.in_(ids), Task.status == Status.RUNNING))
    )


def oldest(session: Session, ids: Iterable[UUID]) -> dict[Queue, datetime]:
    """Since when the longest waiting of these tasks has been pending, by queue."""
    rows = session.execute(
        select(Task.queue_name, Task.priority, func.min(Task.pending_since))
        .where(Task.id.in_(list(ids)), Task.status == Status.PENDING)
        .group_by(Task.queue_name, Task.priority)
    )
    return {Queue(name, priority): since for name, priority, since in rows if since}


def now(session: Session) -> datetime:
    """PostgreSQL's time."""
    return session.execute(select(func.now())).scalar_one()


def remember_epoch(session: Session, epoch: str) -> None:
    """All pending tasks are known to be in this life of Redis."""
    new = insert(RedisMemory).values(epoch=epoch)
    session.execute(
        new.on_conflict_do_update(index_elements=[RedisMemory.one], set_={"epoch": epoch})
    )


def _waiting(row: Row[*tuple[Any, ...]]) -> Waiting:
    delivery, place = Delivery(str(row[0]), *row[1:5]), Place(row[5], row[0])
    return Waiting(delivery, place)
