"""Time passes without waiting: whatever remembers a time is moved back by as much.

To everybody who compares a time with now, one that lies an hour further back looks as it would
look in an hour. So no clock is faked, PostgreSQL's least of all: its rows are moved, the
times that a scheduler keeps in its memory, and in Redis what lasts until some time.
"""

from __future__ import annotations

from datetime import timedelta

from psycopg2.extensions import connection as Connection  # noqa: N812  # a class with a small name
from redis import Redis
from sqlalchemy.dialects.postgresql import TIMESTAMP

from tasks.backlog import Place
from tasks.models import Attempt, AuditEntry, IdempotencyKey, Task, Worker
from tests.guarantee.by_hand import Timekeeper

TABLES = [model.__table__ for model in (Task, Attempt, Worker, IdempotencyKey, AuditEntry)]
TIMES = {
    table.name: [column.name for column in table.columns if isinstance(column.type, TIMESTAMP)]
    for table in TABLES
}
# Not a change of anything: no trigger may count it.
MOVE_ROWS = "SET LOCAL session_replication_role = replica; " + "; ".join(
    f"UPDATE {table} SET {', '.join(f'{name} = {name} - %(by)s' for name in names)}"
    for table, names in TIMES.items()
)
UNTIL = (b"rq:finished:", b"rq:failed:", b"rq:wip:")  # sorted by when to let go


def elapse(seconds: float, rows: Connection, redis: Redis, keepers: list[Timekeeper]) -> None:
    """Let so much time pass for everybody."""
    with rows, rows.cursor() as cursor:
        cursor.execute(MOVE_ROWS, {"by": timedelta(seconds=seconds)})
    age_redis(redis, seconds)
    for keeper in keepers:
        age(keeper, seconds)


def age_redis(redis: Redis, seconds: float) -> None:
    keys = list(redis.scan_iter(count=1000))
    with redis.pipeline() as pipeline:
        for key in keys:
            pipeline.pttl(key)
        left = pipeline.execute()
        for key, milliseconds in zip(keys, left, strict=True):
            if milliseconds > 0:
                pipeline.pexpire(key, max(1, milliseconds - int(seconds * 1000)))
            if key.startswith(UNTIL):
                for member in redis.zrange(key, 0, -1):
                    pipeline.zincrby(key, -seconds, member)
        pipeline.execute()


def age(keeper: Timekeeper, seconds: float) -> None:
    """Move what a scheduler remembers: times of rows, and times on its own clock."""
    by = timedelta(seconds=seconds)
    for memory in (keeper.reading, keeper.trail):
        memory.places = {
            queue: Place(place.pending_since - by, place.id)
            for queue, place in memory.places.items()
        }
    trail, watch = keeper.trail, keeper.watch
    trail.earlier = {queue: time - by for queue, time in trail.earlier.items()}
    trail.latest = {queue: time - by for queue, time in trail.latest.items()}
    trail.latest_at -= seconds
    watch.absent = {worker: time - seconds for worker, time in watch.absent.items()}
    watch.held = {each: time - seconds for each, time in watch.held.items()}
