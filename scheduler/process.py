"""The scheduler process: an rq-scheduler that keeps our duties instead of its own.

Of rq-scheduler it keeps the registration and the sorted set of times, so that its tools see both.
Its lock, its signal handlers and its loop are not used: any number of these processes may run,
none is a leader, and every duty is safe to be kept by several at once.
"""

import logging
import os
import socket
import threading
from collections.abc import Mapping
from uuid import uuid4

import rq_scheduler
from redis.exceptions import RedisError

from scheduler import duties
from scheduler.attention import Attention
from scheduler.duties import Terms
from scheduler.rounds import Duty, Rounds
from scheduler.stopping import Stop
from tasks import agenda
from tasks.broker import Broker
from tasks.database import sessions

log = logging.getLogger(__name__)

HEARTBEAT = 5  # seconds; rq-scheduler forgets a process ten seconds after it missed one
GRACE = 8.0  # seconds for the round that is under way when it is told to stop


class Scheduler(rq_scheduler.Scheduler):
    """One process that keeps time for all tasks."""

    def __init__(self, broker: Broker, terms: Terms) -> None:
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        super().__init__(connection=broker.redis, interval=HEARTBEAT, name=name)
        self.stop = Stop()
        self._attention = Attention(terms.lease.total_seconds())
        register = Duty(name="heartbeat", keep=self.heartbeat, every=HEARTBEAT)
        self._record = Rounds(duties.of_the_record(terms, self._attention), self._look)
        self._redis = Rounds([register, *duties.of_redis(broker)])

    def run(self, burst: bool = False) -> None:
        """Keep the duties until told to stop; with `burst`, one round of each."""
        if burst:
            self._record.go(self.stop)
            self._redis.go(self.stop)
            return
        self.stop.on_signals()
        log.info("scheduler %s keeps time", self.name)
        beside = threading.Thread(
            target=self._redis.keep, args=(self.stop,), name="redis", daemon=True
        )
        beside.start()
        self._record.keep(self.stop)
        beside.join(GRACE)
        self._sign_off()
        log.info("scheduler %s has stopped", self.name)

    def heartbeat(self) -> int:
        """Stay registered, also when Redis has forgotten us."""
        if not self.connection.expire(self.key, HEARTBEAT + 10):
            self.register_birth()
        return 0

    def _look(self) -> Mapping[str, float]:
        with sessions.express("") as session:
            found = agenda.look(session)
        self._attention.note(found.now)
        return found.due

    def _sign_off(self) -> None:
        try:
            self.register_death()
        except RedisError as error:
            log.warning("could not sign off at Redis: %s", error)
