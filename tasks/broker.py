"""Redis and RQ: push, pop, is it still there?

Everything in Redis is a nudge that may be lost, late or doubled. A job's hash and its place in a
queue are written together, so that the hash tells whether a task is there; `pop` moves an id into
the worker's own *popped* set, where it stays until the worker has started or refused it. A push to
an empty queue does that at once for a worker that is ready, and hands it the id.
"""

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple, cast

import orjson
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry
from rq.utils import utcformat

from tasks import clock
from tasks.catalog import QUEUE_NAME
from tasks.errors import BrokerUnavailable, UnfitServer
from tasks.failpoints import reach
from tasks.lifecycle import Priority
from tasks.scripts import ENDED, FINISHED, POP, POPPED, PUSH, READY
from tasks.wires import Wires

log = logging.getLogger(__name__)

PRIORITIES = frozenset(str(priority) for priority in Priority)
AT_ONCE = 0.1  # seconds within which a connection fails that was broken already


def _push_call(
    group: tuple[str, str, float, str], members: Sequence["Delivery"], now: str
) -> tuple[list[str], list[Any]]:
    """The keys and arguments of `PUSH` for members of one queue."""
    queue, name, timeout, where = group
    ids = [member.id for member in members]
    if where == "front":  # LPUSH turns the order round: fill from the last to the first
        ids.reverse()
    keys = [f"rq:queue:{queue}", "rq:queues", READY]
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


def serving(queue_names: Collection[str]) -> str:
    """What a worker of these queue names is ready for, as `pop` has it; without any: everything."""
    return f" {' '.join(sorted(queue_names))} " if queue_names else "*"


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
        ready_for: str = "",
    ) -> list[str]:
        """Take ids from these queues in order, until as many of both sorts are taken as wanted.

        `waiting_kinds` are the kinds that run on threads; every other kind is ordinary. The first
        id of a queue that is not wanted ends that queue, so that order is kept. `leave` are ids
        that leave the popped set: they were started or refused. If nothing is found, the next task
        may be handed over whose queue name `ready_for` has, see `serving`.
        """
        reach("pop", "before")
        found = self._wires.run(
            self._pop,
            [POPPED + worker_id, READY, *(f"rq:queue:{queue}" for queue in queues)],
            [
                *(ordinary, waiting, worker_id, ready_for),
                *(len(waiting_kinds), *waiting_kinds, *map(as_bytes, leave)),
            ],
        )
        reach("pop", "after")
        return [as_text(id) for id in cast(list[bytes], found)]

    def leave(self, worker_id: str, ids: Sequence[str]) -> None:
        """These popped ids were started or refused."""
        if ids:
            self.redis.srem(POPPED + worker_id, *map(as_bytes, ids))

    def not_ready(self, worker_id: str) -> None:
        """Nothing more is to be handed to this worker."""
        with suppress(ResponseError):  # if something else stands there, nobody is ready
            self.redis.hdel(READY, worker_id)

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
