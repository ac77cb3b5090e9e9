"""Duty: what a worker popped and can no longer start is pushed again, to the front."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks import backlog, inspection, leases
from tasks.backlog import Waiting
from tasks.broker import Broker, as_bytes
from tasks.database import sessions

DEAD_AFTER = 2.0  # seconds without a life, for a worker that may be about to register
HELD_TOO_LONG = 30.0  # … in a living worker's popped set: the worker has forgotten it


@dataclass
class Watch:
    """Since when one process has seen what, in monotonic seconds."""

    absent: dict[str, float] = field(default_factory=dict)  # worker without a life
    held: dict[tuple[str, str], float] = field(default_factory=dict)  # worker, id
    lived: set[str] = field(default_factory=set)  # workers that had a life, or are known to be dead


def requeue_popped(broker: Broker, watch: Watch) -> int:
    """Return how many tasks were pushed. Raises redis-py's errors."""
    popped = inspection.popped(broker.redis, inspection.poppers(broker.redis))
    if not popped:
        return 0
    with sessions.express("") as looking:
        alive = leases.alive(looking)
    dead = _the_dead(watch, set(popped), alive)
    lost = _lost(watch, popped, dead)
    waiting: Sequence[Waiting] = ()
    if everything := {as_bytes(id) for ids in lost.values() for id in ids}:
        with sessions.begin() as session:
            waiting = backlog.pending(session, inspection.as_ids(everything))
    if waiting:
        broker.queue([each.delivery._replace(front=True) for each in waiting])
    for worker_id, ids in lost.items():
        broker.leave(worker_id, sorted(ids))
    for worker_id in dead:
        if not popped[worker_id]:  # empty since the last round
            inspection.forget_popper(broker.redis, worker_id)
    return len(waiting)


def _the_dead(watch: Watch, workers: set[str], alive: set[str]) -> set[str]:
    """The workers that are gone for good: one that has lived, or has been absent for a while."""
    now = time.monotonic()
    absent = workers - alive
    watch.absent = {worker: watch.absent.get(worker, now) for worker in absent}
    dead = {
        worker
        for worker in absent
        if worker in watch.lived or now - watch.absent[worker] >= DEAD_AFTER
    }
    watch.lived = alive | dead
    return dead


def _lost(watch: Watch, popped: dict[str, set[str]], dead: set[str]) -> dict[str, set[str]]:
    """By worker, the popped ids that it will not start."""
    now = time.monotonic()
    watch.held = {
        (worker, id): watch.held.get((worker, id), now)
        for worker, ids in popped.items()
        for id in ids
    }
    lost: dict[str, set[str]] = defaultdict(set)
    for (worker, id), since in watch.held.items():
        if worker in dead or now - since >= HELD_TOO_LONG:
            lost[worker].add(id)
    return lost
