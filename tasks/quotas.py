"""How much one client may submit: a token bucket per API key, and a limit to a queue's backlog.

The bucket lives in Redis, so that it is one for all processes, and is taken from in one call by
Redis's own clock. A request is let in while anything is left and then pays for all its tasks, so a
large batch is never impossible, only followed by a longer wait. Limits protect the service from
its friends, not the tasks: when Redis or the figures are away, everybody is let in.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from redis import Redis
from redis.exceptions import RedisError

from tasks import stats
from tasks.broker import Breaker
from tasks.database import sessions
from tasks.errors import DatabaseUnavailable, TooManyTasks
from tasks.lifecycle import Status

log = logging.getLogger(__name__)

BUCKET = "dtq:quota:"  # + API key id
WINDOW = 10  # seconds' worth of tasks that a full bucket holds
GLANCE = 1.0  # seconds for which the backlogs that were read are good enough
WAIT_FOR_QUEUE = 5.0  # seconds after which a full queue may be tried again

# KEYS: bucket. ARGV: rate per second, capacity, cost. Answers: what was and what is left, in
# thousandths; the bucket is paid from only if anything was in it.
TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local rate, capacity, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('HMGET', KEYS[1], 'left', 'at')
local left, at = tonumber(held[1]) or capacity, tonumber(held[2]) or now
left = math.min(capacity, left + math.max(0, now - at) * rate)
local was = left
if was >= 1 then left = left - cost end
redis.call('HSET', KEYS[1], 'left', string.format('%.6f', left), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil((capacity - left) / rate) + 1)
return {math.floor(was * 1000), math.floor(left * 1000)}
"""


class Allowance(NamedTuple):
    """What is left of a client's rate, in the terms of the RateLimit headers."""

    quota: int  # tasks
    window: int  # seconds in which an empty bucket is full again
    left: int  # tasks
    full_in: int  # seconds


class Quotas:
    """The limits of this process's clients."""

    def __init__(self, redis: Redis, submit_rate: float) -> None:
        self._submit_rate = submit_rate  # for keys that have none of their own; 0: no limit
        self._take = redis.register_script(TAKE)
        self._breaker = Breaker()

    def charge(self, key_id: str, own_rate: float | None, tasks: int) -> Allowance | None:
        """Let this many tasks in, or raise `TooManyTasks`; what is left, if there is a limit."""
        rate = own_rate or self._submit_rate
        if not rate or not self._breaker.lets_through():
            return None
        capacity = max(1.0, rate * WINDOW)
        try:
            was, left = self._take(keys=[BUCKET + key_id], args=[rate, capacity, tasks])
        except RedisError as error:
            self._breaker.trip()
            log.warning("rates are not limited while Redis is away: %s", error)
            return None
        allowance = Allowance(
            quota=int(capacity),
            window=ceil(capacity / rate),
            left=max(0, left // 1000),
            full_in=ceil((capacity - left / 1000) / rate),
        )
        if was < 1000:
            wait = (1000 - was) / 1000 / rate
            raise TooManyTasks(
                f"This API key may submit {rate:g} tasks per second.", wait, allowance
            )
        return allowance


@dataclass
class Backlogs:
    """How many tasks of each queue name are undelivered, as of a moment ago."""

    limit: int  # above which a queue name takes no more; 0: none
    _counts: dict[str, int] = field(default_factory=dict)
    _read_at: float = -1e9

    def refuse_full(self, queue_names: Iterable[str]) -> None:
        """Raise `TooManyTasks` if one of these queue names has more than it may."""
        if not self.limit:
            return
        if time.monotonic() - self._read_at > GLANCE:
            self._read()
        for queue_name in queue_names:
            if self._counts.get(queue_name, 0) >= self.limit:
                raise TooManyTasks(
                    f"The queue name {queue_name!r} has {self.limit} undelivered tasks or more.",
                    WAIT_FOR_QUEUE,
                )

    def _read(self) -> None:
        self._read_at = time.monotonic()
        counts: dict[str, int] = defaultdict(int)
        try:
            with sessions.begin() as session:
                for kind in stats.kinds(session):
                    counts[kind.queue_name] += (
                        kind.depth[Status.PENDING] + kind.depth[Status.SCHEDULED]
                    )
        except DatabaseUnavailable:
            return  # the submission itself will say so
        self._counts = counts
