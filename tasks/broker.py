"""Redis and RQ: push, pop, is it still there?

Everything in Redis is a nudge that may be lost, late or doubled. A job's hash and its place in a
queue are written together, so that the hash tells whether a task is there; `pop` moves an id into
the worker's own *popped* set, where it stays until the worker has started or refused it.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple, cast

import orjson
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.utils import utcformat

from tasks import clock
from tasks.catalog import QUEUE_NAME
from tasks.errors import BrokerUnavailable, UnfitServer
from tasks.failpoints import reach
from tasks.lifecycle import Priority
from tasks.wires import Wires

log = logging.getLogger(__name__)

ENTRY_POINT = "jobs.run"  # the only function a job may name; short, so that its hash stays compact
WAKE = "dtq:wake"  # published with a queue's name when something was pushed to it
FINISHED = "dtq:finished"  # published with the ids of tasks that are finished
PRIORITIES = frozenset(str(priority) for priority in Priority)
POPPED = "dtq:popped:"  # + worker: ids popped and not yet started or refused
POPPERS = "dtq:poppers"  # the keys of those sets
AT_ONCE = 0.1  # seconds within which a connection fails that was broken already

# KEYS: queue list, rq:queues. ARGV: queue name, description, timeout, now, where, ids …
# Where: "front", "back", or "missing" (at the back, and only what has no well-formed job).
PUSH = f"""
local function heal(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('UNLINK', key) end
end
heal(KEYS[1], 'list')
heal(KEYS[2], 'set')
redis.call('SADD', KEYS[2], 'rq:queue:' .. ARGV[1])
local side = ARGV[5] == 'front' and 'LPUSH' or 'RPUSH'
local pushed = 0
for i = 6, #ARGV do
  local job, data = 'rq:job:' .. ARGV[i], '["{ENTRY_POINT}",null,["' .. ARGV[i] .. '"],{{}}]'
  if ARGV[5] ~= 'missing' or redis.pcall('HGET', job, 'data') ~= data then
    redis.call('UNLINK', job)
    redis.call('HSET', job, 'data', data,
      'origin', ARGV[1], 'description', ARGV[2], 'timeout', ARGV[3], 'status', 'queued',
      'created_at', ARGV[4], 'enqueued_at', ARGV[4])
    redis.call(side, KEYS[1], ARGV[i])
    pushed = pushed + 1
  end
end
if pushed > 0 then redis.call('PUBLISH', '{WAKE}', ARGV[1]) end
return pushed
"""

# KEYS: popped set, queue lists … ARGV: how many ordinary ones, how many waiting ones, how many
# names of waiting kinds, those names …, ids to leave the popped set …
POP = f"""
local ordinary, waiting, kinds = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local waits = {{}}
for i = 4, 3 + kinds do waits[ARGV[i]] = true end
for i = 4 + kinds, #ARGV, 1000 do
  redis.call('SREM', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
local found = {{}}
for k = 2, #KEYS do
  if ordinary + waiting <= 0 then break end
  local ids = redis.pcall('LRANGE', KEYS[k], 0, ordinary + waiting - 1)
  local taken = 0
  if not ids.err then
    for _, id in ipairs(ids) do
      local name = kinds > 0 and redis.pcall('HGET', 'rq:job:' .. id, 'description')
      if type(name) == 'string' and waits[name] then
        if waiting <= 0 then break end
        waiting = waiting - 1
      else
        if ordinary <= 0 then break end
        ordinary = ordinary - 1
      end
      redis.call('SADD', KEYS[1], id)
      found[#found + 1] = id
      taken = taken + 1
    end
    if taken > 0 then redis.call('LTRIM', KEYS[k], taken, -1) end
  end
end
if #found > 0 then redis.call('SADD', '{POPPERS}', KEYS[1]) end
return found
"""

# ARGV: see `Broker.mirror_ended`; the ends as one JSON text, which is quicker to send.
ENDED = """
local now, expires, ttl, worker, ended = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
for _, each in ipairs(cjson.decode(ARGV[6])) do
  local id, origin, status, started = unpack(each)
  local job = 'rq:job:' .. id
  if started ~= '' then redis.call('ZREM', 'rq:wip:' .. origin, started) end
  if status == '' then
    redis.call('UNLINK', job)
  else
    redis.call('HSET', job, 'status', status, 'ended_at', ended, 'worker_name', worker)
    redis.call('EXPIRE', job, ttl)
    redis.call('ZADD', 'rq:' .. status .. ':' .. origin, expires, id)
  end
end
"""


def _push_call(
    group: tuple[str, str, float, str], members: Sequence["Delivery"], now: str
) -> tuple[list[str], list[Any]]:
    """The keys and arguments of `PUSH` for members of one queue."""
    queue, name, timeout, where = group
    ids = [member.id for member in members]
    if where == "front":  # LPUSH turns the order round: fill from the last to the first
        ids.reverse()
    keys = [f"rq:queue:{queue}", "rq:queues"]
    return keys, [queue, name, max(1, int(timeout)), now, where, *ids]


class Delivery(NamedTuple):
    """What the broker needs to know to bring a pending task to a worker."""

    id: str
    name: str
    queue_name: str
    priority: Priority
    timeout: float
    front: bool = False  # it has waited before: served first

    @property
    def queue(self) -> str:
        return rq_queue(self.queue_name, self.priority)


class Ended(NamedTuple):
    """An attempt whose end the RQ mirror should show."""

    id: str
    queue: str
    status: str  # "finished", "failed", or "" to remove the job
    execution: str = ""  # its member of RQ's started registry, if it was mirrored there


def rq_queue(queue_name: str, priority: Priority) -> str:
    """The RQ queue of a queue name and a priority, `default:high` for example."""
    return f"{queue_name}:{priority}"


def split_queue(queue: str) -> tuple[str, Priority] | None:
    """The queue name and priority of an RQ queue, or None if it is not one of ours."""
    queue_name, _, priority = queue.rpartition(":")
    if priority not in PRIORITIES or not QUEUE_NAME.fullmatch(queue_name):
        return None
    return queue_name, Priority(priority)


def as_text(member: bytes) -> str:
    """An id as Redis has it. Anything may stand there: `as_bytes` makes the same of it again."""
    return member.decode(errors="surrogateescape")


def as_bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def connect(url: str, *, patience: float, verify_tls: bool = True) -> Redis:
    """A client that waits at most `patience` seconds and never repeats a command by itself.

    Repeating is the caller's decision: a command whose answer was lost may have run.
    """
    options: dict[str, Any] = {}
    if url.startswith("rediss://") and not verify_tls:
        options = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    return Redis.from_url(
        url,
        socket_timeout=patience,
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        **options,
    )


def refuse_unfit(redis: Redis) -> None:
    """Raise `UnfitServer` if this Redis would evict jobs, is too old or is a cluster.

    While it is away nothing is known against it.
    """
    try:
        facts = redis.info()
    except RedisError as error:
        log.warning("Redis does not answer; tasks are accepted and pushed later: %s", error)
        return
    version = tuple(int(part) for part in str(facts["redis_version"]).split(".")[:2])
    if version < (6, 2):
        raise UnfitServer(f"Redis 6.2 or newer is needed; this is {facts['redis_version']}.")
    if facts.get("redis_mode") == "cluster":
        raise UnfitServer(
            "Redis Cluster is not supported; use a single primary, with or without replicas."
        )
    if facts.get("maxmemory_policy", "noeviction") != "noeviction":
        raise UnfitServer(
            f"Redis has maxmemory-policy {facts['maxmemory_policy']!r}, which drops jobs silently;"
            " set it to noeviction."
        )


@dataclass
class Breaker:
    """Stops asking a server that does not answer, and tries again after a pause."""

    pause: float = 1.0  # seconds
    closed_until: float = 0.0

    def lets_through(self) -> bool:
        return time.monotonic() >= self.closed_until

    def trip(self) -> None:
        self.closed_until = time.monotonic() + self.pause


class Broker:
    """One process's way to Redis."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._breaker = Breaker()
        self._wires = Wires(redis.connection_pool)
        self._push = redis.register_script(PUSH)
        self._pop = redis.register_script(POP)
        self._ended = redis.register_script(ENDED)

    def anew(self) -> "Broker":
        """The same way to Redis, over connections of its own."""
        pool = self.redis.connection_pool
        return Broker(
            Redis.from_pool(
                ConnectionPool(connection_class=pool.connection_class, **pool.connection_kwargs)
            )
        )

    def push(self, deliveries: Sequence[Delivery]) -> bool:
        """Queue these tasks in one round trip; whether that was acknowledged. Never raises."""
        if not self._breaker.lets_through():
            return False
        try:
            self.queue(deliveries)
        except RedisError as error:
            self._breaker.trip()
            log.warning("push failed, the scheduler will repeat it: %s", error)
            return False
        return True

    def queue(self, deliveries: Sequence[Delivery]) -> None:
        """Queue these tasks in one round trip, or raise redis-py's error."""
        self._queue(deliveries, only_missing=False)

    def restore(self, deliveries: Sequence[Delivery]) -> int:
        """Queue those that Redis has no well-formed job for; return how many.

        Looking and pushing is one step, so any number of processes may do it at once. Raises
        redis-py's errors.
        """
        return self._queue(deliveries, only_missing=True)

    def _queue(self, deliveries: Sequence[Delivery], *, only_missing: bool) -> int:
        now = utcformat(clock.now())
        reach("push", "before")
        began = time.monotonic()
        try:
            pushed = self._send(deliveries, now, only_missing)
        except RedisConnectionError:
            if time.monotonic() - began > AT_ONCE:
                raise  # who waits for this has waited long enough
            # A connection from before a restart: once more, on a new one.
            pushed = self._send(deliveries, now, only_missing)
        reach("push", "after")
        return pushed

    def _send(self, deliveries: Sequence[Delivery], now: str, only_missing: bool) -> int:
        def group(delivery: Delivery) -> tuple[str, str, float, str]:
            where = "missing" if only_missing else "front" if delivery.front else "back"
            return delivery.queue, delivery.name, delivery.timeout, where

        if len(deliveries) == 1:
            call = _push_call(group(deliveries[0]), deliveries, now)
            return cast(int, self._wires.run(self._push, *call))
        with self.redis.pipeline(transaction=False) as pipeline:
            for key, members in groupby(deliveries, group):
                self._push(*_push_call(key, list(members), now), client=pipeline)
            return sum(pipeline.execute())

    def announce_finished(self, ids: Iterable[str]) -> None:
        """Wake whoever waits for these tasks, in any process. Never raises: they also look."""
        if not self._breaker.lets_through():
            return
        try:
            self.redis.publish(FINISHED, " ".join(ids))
        except RedisError as error:
            self._breaker.trip()
            log.debug("waiters were not woken: %s", error)

    def queues(self) -> list[str]:
        """Every RQ queue of ours that Redis knows."""
        members = cast(set[bytes], self.redis.smembers("rq:queues"))
        names = (member.decode(errors="replace").removeprefix("rq:queue:") for member in members)
        return sorted(name for name in names if split_queue(name))

    def pop(
        self,
        worker_id: str,
        queues: Sequence[str],
        ordinary: int,
        waiting: int = 0,
        waiting_kinds: Sequence[str] = (),
        leave: Sequence[str] = (),
    ) -> list[str]:
        """Take ids from these queues in order, until as many of both sorts are taken as wanted.

        `waiting_kinds` are the kinds that run on threads; every other kind is ordinary. The first
        id of a queue that is not wanted ends that queue, so that order is kept. `leave` are ids
        that leave the popped set: they were started or refused.
        """
        reach("pop", "before")
        found = self._wires.run(
            self._pop,
            [POPPED + worker_id, *(f"rq:queue:{queue}" for queue in queues)],
            [ordinary, waiting, len(waiting_kinds), *waiting_kinds, *map(as_bytes, leave)],
        )
        reach("pop", "after")
        return [as_text(id) for id in cast(list[bytes], found)]

    def leave(self, worker_id: str, ids: Sequence[str]) -> None:
        """These popped ids were started or refused."""
        if ids:
            self.redis.srem(POPPED + worker_id, *map(as_bytes, ids))

    def mirror_ended(self, worker_id: str, ends: Sequence[Ended], ttl: int) -> None:
        """Show in RQ's registries how attempts ended; a job without a status is removed."""
        now = clock.now()
        stamp = int(now.timestamp())
        said = orjson.dumps([tuple(end) for end in ends])
        reach("mirror", "before")
        args = [stamp, stamp + ttl, ttl, worker_id, utcformat(now), said]
        self._wires.run(self._ended, [], args)
        reach("mirror", "after")

    def popped_by(self, worker_id: str) -> list[str]:
        """The ids a worker popped and has neither started nor refused."""
        members = cast(set[bytes], self.redis.smembers(POPPED + worker_id))
        return [as_text(member) for member in members]

    def remove(self, ids: Iterable[str]) -> None:
        """Delete the jobs of these tasks; ids left in queues are refused at their start."""
        if keys := [f"rq:job:{id}" for id in ids]:
            self.redis.unlink(*keys)

    def length(self, queue: str) -> int:
        return self.redis.llen(f"rq:queue:{queue}")

    def head(self, queue: str, count: int) -> list[str]:
        """The next ids of a queue."""
        found = cast(list[bytes], self.redis.lrange(f"rq:queue:{queue}", 0, count - 1))
        return [as_text(id) for id in found]

    def check(self) -> None:
        """Raise `BrokerUnavailable` if Redis does not answer."""
        try:
            self.redis.ping()
        except RedisError as error:
            raise BrokerUnavailable() from error
