"""Duty: a pending task that its queue has left behind is pushed again, to the front.

Queues are first in, first out: a task that became pending well before the head of its queue did
is no longer in it. Somebody popped it and died before the start (a stock `rq worker` keeps no
note of what it pops), or its push was lost after `requeue_lost` had looked.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from scheduler.requeue_lost import Reading
from tasks import backlog, inspection
from tasks.backlog import START, Place, Queue, Waiting
from tasks.broker import Broker
from tasks.database import sessions
from tasks.inspection import Head

HEAD = 20  # ids of a list that are looked at to find out where it stands
BATCH = 1000
MARGIN = timedelta(seconds=5)  # by which the order of a list may differ from that of the rows
BELIEVED_AFTER = 5.0  # seconds: whoever popped a task may be about to start it
COMPARISONS = 200_000  # ids of a list that a round compares with: some milliseconds of Redis


@dataclass
class Trail:
    """Where one process saw the queues stand: since when their heads had been pending."""

    earlier: Mapping[Queue, datetime] = field(default_factory=dict)  # BELIEVED_AFTER ago or longer
    latest: Mapping[Queue, datetime] = field(default_factory=dict)
    latest_at: float = float("-inf")  # monotonic
    places: dict[Queue, Place] = field(default_factory=dict)  # up to where tasks were found there

    def note(self, standing: Mapping[Queue, datetime]) -> None:
        now = time.monotonic()
        if now - self.latest_at >= BELIEVED_AFTER:
            self.earlier, self.latest, self.latest_at = self.latest, standing, now


def requeue_overtaken(broker: Broker, trail: Trail, reading: Reading) -> int:
    """Return how many tasks were pushed. Raises redis-py's errors."""
    with sessions.express("") as looking:
        queues = backlog.look(looking).queues
    if not queues:
        return 0
    heads = inspection.heads(broker.redis, queues, HEAD)
    with sessions.begin() as session:
        standing = backlog.oldest(session, [id for head in heads.values() for id in head.ids])
        now = backlog.now(session)
    standing |= {queue: now for queue, head in heads.items() if not head.length}
    trail.note(standing)
    bounds = {
        queue: min(standing[queue], trail.earlier[queue]) - MARGIN
        for queue in queues
        if queue in standing and queue in trail.earlier
    }
    trail.places = {queue: trail.places.get(queue, START) for queue in bounds}
    with sessions.begin() as session:
        behind = backlog.after(session, trail.places, BATCH, before=bounds)
    if not behind:
        trail.places = {}  # the next round begins with the oldest again
        return 0
    lost = _not_there(broker, trail, heads, behind)
    if lost:
        broker.queue([each.delivery._replace(front=True) for each in lost])
    for queue in {each.queue for each in lost if not heads[each.queue].length}:
        reading.places.pop(queue, None)  # somebody emptied it: read all of it again
    return len(lost)


def _not_there(
    broker: Broker, trail: Trail, heads: Mapping[Queue, Head], behind: Sequence[Waiting]
) -> list[Waiting]:
    """Those that are indeed in no list, as far as this round's effort goes."""
    popped = inspection.popped(broker.redis, inspection.poppers(broker.redis))
    in_hand = set().union(*popped.values())
    lost = []
    for queue, group in groupby(behind, lambda each: each.queue):
        length = heads[queue].length
        some = list(group)[: BATCH if not length else max(1, COMPARISONS // length)]
        there = inspection.stand_in(broker.redis, queue, [each.delivery.id for each in some])
        lost += [
            each
            for each, found in zip(some, there, strict=True)
            if not found and each.delivery.id not in in_hand
        ]
        trail.places[queue] = some[-1].place
    return lost
