"""Duty: a pending task that Redis has no job for is pushed again.

Each pending task is looked at once, a few seconds after it became pending: by then its push has
succeeded or failed. When Redis has lost its memory, all are looked at anew, the most urgent first.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from tasks import backlog, inspection
from tasks.backlog import START, Place, Queue
from tasks.broker import Broker
from tasks.database import sessions

log = logging.getLogger(__name__)

BATCH = 1000
USUAL_AGE = timedelta(seconds=3)  # of a pending task when it is looked at
AGE_AFTER_A_LOSS = timedelta(seconds=1)  # its push may still be under way
USUAL_EFFORT = 0.05  # seconds of one round
EFFORT_AFTER_A_LOSS = 0.5


@dataclass
class Reading:
    """How far one process has compared the pending tasks with Redis."""

    places: dict[Queue, Place] = field(default_factory=dict)
    anew_for: str | None = None  # the life of Redis for which it began again


def requeue_lost(broker: Broker, reading: Reading) -> int:
    """Return how many tasks were pushed. Raises redis-py's errors; the next round reads on."""
    epoch = inspection.epoch(broker.redis)
    with sessions.express("") as session:
        known, queues = backlog.look(session)
    if epoch == known:
        reading.anew_for = None
    elif epoch != reading.anew_for:
        log.warning("this is a new life of Redis: every pending task is checked")
        reading.anew_for, reading.places = epoch, {}
    pushed, done = _read_on(broker, reading, queues)
    if reading.anew_for and done and inspection.epoch(broker.redis) == epoch:
        with sessions.begin() as writing:
            backlog.remember_epoch(writing, epoch)
        log.info("every pending task is in Redis again")
    return pushed


def _read_on(broker: Broker, reading: Reading, queues: Sequence[Queue]) -> tuple[int, bool]:
    """Compare a few more tasks; return how many were pushed, and whether the end was reached."""
    urgent = reading.anew_for is not None
    deadline = time.monotonic() + (EFFORT_AFTER_A_LOSS if urgent else USUAL_EFFORT)
    reading.places = {queue: reading.places.get(queue, START) for queue in queues}
    pushed = 0
    while reading.places:
        with sessions.begin() as session:
            found = backlog.after(
                session,
                reading.places,
                BATCH,
                older_than=AGE_AFTER_A_LOSS if urgent else USUAL_AGE,
            )
        if found:
            pushed += broker.restore([each.delivery for each in found])
        reading.places |= {each.queue: each.place for each in found}
        done = len(found) < BATCH
        if done or time.monotonic() >= deadline:
            return pushed, done
    return pushed, True
