"""Duty: rq-scheduler's sorted set shows which schedules fire next, for its tools and for people.

It is a mirror and nothing more: what fires is decided in PostgreSQL. A schedule's job names our
entry point with the schedule's id, so an rq-scheduler that enqueues it does no harm: a
worker finds no such task. Jobs expire when nobody keeps them up.
"""

import time
from dataclasses import dataclass, field
from typing import cast

from redis import Redis
from rq_scheduler import Scheduler

from tasks import schedules
from tasks.broker import rq_queue
from tasks.database import sessions
from tasks.schedules import Coming
from tasks.scripts import ENTRY_POINT

KEY = Scheduler.scheduled_jobs_key
SHOWN = 500  # the schedules that fire next
KEPT = 300  # seconds a job lasts
ANEW = 60.0  # seconds until everything is written again, whatever is known


@dataclass
class Mirror:
    """What one process last wrote."""

    coming: dict[str, Coming] = field(default_factory=dict)
    written_at: float = float("-inf")  # monotonic


def mirror_schedules(redis: Redis, mirror: Mirror) -> int:
    """Return how many entries were written. Raises redis-py's errors."""
    with sessions.express("") as session:
        coming = {each.id: each for each in schedules.soonest(session, SHOWN)}
    if time.monotonic() > mirror.written_at + ANEW or redis.zcard(KEY) != len(mirror.coming):
        known: dict[str, Coming] = {}
        mirror.written_at = time.monotonic()
        members = cast(list[bytes], redis.zrange(KEY, 0, -1))
        gone = {member.decode(errors="replace") for member in members}
    else:
        known = mirror.coming
        gone = set(known)
    gone -= set(coming)
    changed = [each for each in coming.values() if known.get(each.id) != each]
    if gone or changed:
        write(redis, changed, gone)
    mirror.coming = coming
    return len(changed) + len(gone)


def write(redis: Redis, changed: list[Coming], gone: set[str]) -> None:
    with redis.pipeline(transaction=True) as pipeline:
        if gone:
            pipeline.zrem(KEY, *gone)
            pipeline.unlink(*(f"rq:job:{id}" for id in gone))
        if changed:
            pipeline.zadd(KEY, {each.id: each.next_fire_at.timestamp() for each in changed})
        for each in changed:
            job = f"rq:job:{each.id}"
            pipeline.hset(
                job,
                mapping={
                    "data": f'["{ENTRY_POINT}",null,["{each.id}"],{{}}]',
                    "origin": rq_queue(each.queue_name, each.priority),
                    "description": each.name,
                    "status": "scheduled",
                    "created_at": f"{each.created_at:%Y-%m-%dT%H:%M:%S.%fZ}",
                },
            )
            pipeline.expire(job, KEPT)
        pipeline.execute()
