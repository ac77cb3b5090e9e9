"""What the scheduler asks of Redis: is everything still there, and what is there too much?"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

from redis import Redis

from tasks.backlog import Queue
from tasks.broker import as_text, rq_queue
from tasks.scripts import ENTRY_POINT, POPPED, POPPERS

MARKER = "dtq:epoch"  # gone when Redis lost its memory
JOB = "rq:job:"
STARTED = "rq:wip:"  # + queue: RQ's registry of jobs that run
# ARGV: cursor, pattern, how many keys to look at. Those with a time to live are not worth telling.
SCAN = """
local found = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local lasting = {}
for _, key in ipairs(found[2]) do
  if redis.call('TTL', key) == -1 then lasting[#lasting + 1] = key end
end
return {found[1], lasting}
"""
ENDED = ("rq:finished:", "rq:failed:")  # + queue: the same of ended ones, sorted by when to go


class Head(NamedTuple):
    """How a queue's list begins."""

    length: int
    ids: list[UUID]


def epoch(redis: Redis) -> str:
    """Which life of Redis this is: it changes when Redis restarts or loses its memory."""
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.set(MARKER, uuid4().hex, nx=True)
        pipeline.get(MARKER)
        pipeline.info("server")
        _, marker, facts = pipeline.execute()
    return f"{facts['run_id']}/{marker.decode() if marker else ''}"


def heads(redis: Redis, queues: Sequence[Queue], count: int) -> dict[Queue, Head]:
    """The length and the next ids of each queue."""
    with redis.pipeline(transaction=False) as pipeline:
        for queue in queues:
            pipeline.llen(_list(queue))
            pipeline.lrange(_list(queue), 0, count - 1)
        answers = pipeline.execute()
    return {
        queue: Head(length, as_ids(ids))
        for queue, length, ids in zip(queues, answers[::2], answers[1::2], strict=True)
    }


def stand_in(redis: Redis, queue: Queue, ids: Sequence[str]) -> list[bool]:
    """For each of these whether it is in this queue; each costs as much as the queue is long."""
    with redis.pipeline(transaction=False) as pipeline:
        for id in ids:
            pipeline.lpos(_list(queue), id)
        return [place is not None for place in pipeline.execute()]


def poppers(redis: Redis) -> list[str]:
    """Every worker that may hold popped ids, dead or alive."""
    keys = cast(set[bytes], redis.smembers(POPPERS))
    return sorted(key.decode(errors="replace").removeprefix(POPPED) for key in keys)


def popped(redis: Redis, worker_ids: Sequence[str]) -> dict[str, set[str]]:
    """What each of these workers popped and has neither started nor refused."""
    with redis.pipeline(transaction=False) as pipeline:
        for worker_id in worker_ids:
            pipeline.smembers(POPPED + worker_id)
        found: list[set[bytes]] = pipeline.execute()
    return {
        worker_id: {as_text(member) for member in members}
        for worker_id, members in zip(worker_ids, found, strict=True)
    }


def forget_popper(redis: Redis, worker_id: str) -> None:
    """This worker is dead, and nothing that it had popped is missing any more."""
    with redis.pipeline() as pipeline:
        pipeline.unlink(POPPED + worker_id)
        pipeline.srem(POPPERS, POPPED + worker_id)
        pipeline.execute()


def scan_jobs(redis: Redis, cursor: int, count: int) -> tuple[int, list[UUID]]:
    """Some jobs that stay for ever and whose ids could be tasks, and the cursor for the next.

    The cursor is 0 after the last.
    """
    answer = cast(list[Any], redis.eval(SCAN, 0, str(cursor), JOB + "*", str(count)))
    ids = as_ids(key[len(JOB) :] for key in answer[1])
    return int(answer[0]), [id for id in ids if id.version == 7]


def lasting(redis: Redis, ids: Sequence[UUID]) -> dict[UUID, bool]:
    """Those of these jobs that will not go by themselves, and whether each looks like ours."""
    with redis.pipeline(transaction=False) as pipeline:
        for id in ids:
            pipeline.ttl(f"{JOB}{id}")
            pipeline.hget(f"{JOB}{id}", "data")
        answers: list[Any] = pipeline.execute(raise_on_error=False)
    return {
        id: isinstance(data, Exception) or data is None or ENTRY_POINT.encode() in data
        for id, ttl, data in zip(ids, answers[::2], answers[1::2], strict=True)
        if ttl == -1
    }


def started(redis: Redis, queues: Sequence[str], limit: int) -> dict[tuple[str, bytes], UUID]:
    """The tasks RQ shows as started, each by its queue and its member of the registry there."""
    with redis.pipeline(transaction=False) as pipeline:
        for queue in queues:
            pipeline.zrange(STARTED + queue, 0, limit - 1)
        answers: list[list[bytes]] = pipeline.execute()
    return {
        (queue, member): id
        for queue, members in zip(queues, answers, strict=True)
        for member in members
        for id in as_ids([member.partition(b":")[0]])
    }


def forget_started(redis: Redis, entries: Iterable[tuple[str, bytes]]) -> None:
    """Let RQ no longer show these as started."""
    with redis.pipeline(transaction=False) as pipeline:
        for queue, member in entries:
            pipeline.zrem(STARTED + queue, member)
        pipeline.execute()


def forget_shown(redis: Redis, queues: Iterable[str], now: int) -> int:
    """Drop what RQ's registries of ended jobs have shown for long enough; return how many."""
    with redis.pipeline(transaction=False) as pipeline:
        for queue in queues:
            for registry in ENDED:
                pipeline.zremrangebyscore(registry + queue, 0, now)
        return sum(pipeline.execute())


def as_ids(texts: Iterable[bytes]) -> list[UUID]:
    """Those of these that are ids of tasks, spelled as we spell them."""
    found = []
    for text in texts:
        try:
            id = UUID(text.decode())
        except ValueError:
            continue
        if str(id).encode() == text:
            found.append(id)
    return found


def _list(queue: Queue) -> str:
    return f"rq:queue:{rq_queue(*queue)}"
