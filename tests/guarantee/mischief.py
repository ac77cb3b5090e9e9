"""What may happen to Redis behind everybody's back, and what can be seen there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID, uuid4

from redis import Redis
from uuid_utils.compat import uuid7

from tasks import inspection
from tasks.broker import as_text
from tasks.inspection import MARKER
from tasks.scripts import ENTRY_POINT

DAMAGED = b"\x80\x04not what anybody wrote"
HOSTILE = b'["os.system",null,["true"],{}]'


class Kept(NamedTuple):
    """One key of a dump."""

    key: bytes
    value: bytes
    milliseconds: int  # left to live; 0: for ever


def queued(redis: Redis) -> set[str]:
    """The ids in all queues."""
    keys = list(redis.scan_iter("rq:queue:*"))
    return {as_text(id) for key in keys for id in redis.lrange(key, 0, -1)}


def popped(redis: Redis) -> set[str]:
    """The ids in all popped sets."""
    return set().union(*inspection.popped(redis, inspection.poppers(redis)).values())


def dump(redis: Redis) -> list[Kept]:
    keys = sorted(redis.scan_iter(count=1000))
    return [Kept(key, redis.dump(key) or b"", max(0, redis.pttl(key))) for key in keys]


def restore(redis: Redis, kept: list[Kept]) -> None:
    """Redis comes back as it was then. It takes a restart, after which it has another run id; here
    it keeps its own, so that its marker is left out in exchange."""
    redis.flushall()
    for key, value, milliseconds in kept:
        if key != MARKER.encode():
            redis.restore(key, milliseconds, value)


def lose_job(redis: Redis, id: UUID) -> None:
    redis.delete(f"rq:job:{id}")


def lose_place(redis: Redis, id: UUID) -> None:
    """As when a stock `rq worker` pops it and dies."""
    for queue in redis.smembers("rq:queues"):
        redis.lrem(queue, 0, f"{id}")


def lose_both(redis: Redis, id: UUID) -> None:
    """As when its push was never sent."""
    lose_job(redis, id)
    lose_place(redis, id)


def double(redis: Redis, id: UUID) -> None:
    """As when a push is repeated because its answer was lost."""
    for queue in sorted(redis.smembers("rq:queues"))[:1]:
        redis.lpush(queue, f"{id}")


def damage(redis: Redis, id: UUID) -> None:
    if redis.exists(f"rq:job:{id}"):
        redis.hset(f"rq:job:{id}", "data", DAMAGED)


def plant(redis: Redis, id: UUID) -> None:
    """Jobs of no task, well-formed and not, in a queue and out of it."""
    nobody, stray = uuid7(), uuid4()
    good = f'["{ENTRY_POINT}",null,["{nobody}"],{{}}]'
    redis.hset(f"rq:job:{nobody}", "data", good)
    redis.hset(f"rq:job:{stray}", "data", HOSTILE)
    redis.sadd("rq:queues", "rq:queue:default:normal")
    redis.lpush("rq:queue:default:normal", f"{nobody}", "not-an-id", b"\xff\xfe", "")


def flush(redis: Redis, id: UUID) -> None:
    redis.flushall()


HARMS: dict[str, Callable[[Redis, UUID], None]] = {
    each.__name__: each for each in (flush, lose_both, lose_place, lose_job, double, damage, plant)
}
