"""The table of duties: which, how often, and how much in one round.

Those of the record need PostgreSQL alone and are kept by one thread, those of Redis by another, so
that a Redis that hangs makes no task late.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from scheduler.attention import Attention
from scheduler.dispatch_due import dispatch_due
from scheduler.expire import expire
from scheduler.fire_schedules import fire_schedules
from scheduler.forget_idempotency_keys import forget_idempotency_keys
from scheduler.mirror_schedules import Mirror, mirror_schedules
from scheduler.pause_failing import pause_failing
from scheduler.prune_audit import prune_audit
from scheduler.prune_finished import Places, prune_finished
from scheduler.prune_fires import prune_fires
from scheduler.prune_statistics import prune_statistics
from scheduler.recompute_zones import recompute_zones
from scheduler.release_waiting import release_waiting
from scheduler.remove_leftovers import Scan, remove_leftovers
from scheduler.requeue_lost import Reading, requeue_lost
from scheduler.requeue_overtaken import Trail, requeue_overtaken
from scheduler.requeue_popped import Watch, requeue_popped
from scheduler.rescue_silent import rescue_orphans, rescue_silent
from scheduler.rounds import NEVER, Duty
from scheduler.synchronise_declared import synchronise_declared
from scheduler.tally import tally
from scheduler.tidy_registries import Shown, tidy_registries
from tasks.broker import Broker
from tasks.firing import SCHEDULES
from tasks.lifecycle import Status

BATCH = 1000  # rows that one round of a duty touches
NOTABLE = logging.WARNING  # something was lost, and found


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the duties go by; given by the entry point."""

    lease: timedelta = timedelta(seconds=15)
    max_crashes: int = 3
    keep_tasks: Mapping[Status, timedelta] = field(default_factory=dict)  # finished, by status
    keep_fires: timedelta = timedelta(days=30)  # decided ticks of schedules
    keep_statistics: timedelta = timedelta(days=7)
    keep_audit: timedelta = timedelta(days=90)
    idempotency_key_hours: float = 24.0


def of_the_record(terms: Terms, attention: Attention) -> list[Duty]:
    """What is to be done in PostgreSQL, the most urgent first."""
    places: Places = {}
    return [
        Duty(
            name="dispatch_due",
            keep=lambda: dispatch_due(BATCH),
            announced=True,
            full=BATCH,
        ),
        Duty(name="fire_schedules", keep=fire_schedules, announced=True, full=SCHEDULES),
        Duty(name="release_waiting", keep=release_waiting, announced=True),
        Duty(
            name="synchronise_declared", keep=synchronise_declared, every=NEVER, level=logging.INFO
        ),
        Duty(name="pause_failing", keep=pause_failing, every=5.0, level=NOTABLE),
        Duty(name="recompute_zones", keep=lambda: recompute_zones(BATCH), every=600.0, full=BATCH),
        Duty(name="expire", keep=lambda: expire(BATCH), announced=True, full=BATCH),
        Duty(
            name="rescue_silent",
            keep=lambda: rescue_silent(terms.lease, terms.max_crashes, attention),
            announced=True,
            level=NOTABLE,
        ),
        Duty(
            name="rescue_orphans",
            keep=lambda: rescue_orphans(terms.max_crashes),
            every=2.0,
            full=1,
            level=NOTABLE,
        ),
        Duty(name="tally", keep=tally, announced=True, every=1.0),
        Duty(
            name="prune_finished",
            keep=lambda: prune_finished(terms.keep_tasks, places, BATCH),
            every=60.0,
            full=BATCH,
            pause=0.2,
        ),
        Duty(
            name="prune_fires",
            keep=lambda: prune_fires(terms.keep_fires, BATCH),
            every=60.0,
            full=BATCH,
            pause=0.2,
        ),
        Duty(
            name="forget_idempotency_keys",
            keep=lambda: forget_idempotency_keys(terms.idempotency_key_hours, BATCH),
            every=60.0,
            full=BATCH,
            pause=0.2,
        ),
        Duty(
            name="prune_audit",
            keep=lambda: prune_audit(terms.keep_audit, BATCH),
            every=60.0,
            full=BATCH,
            pause=0.2,
        ),
        Duty(
            name="prune_statistics",
            keep=lambda: prune_statistics(terms.keep_statistics),
            every=600.0,
        ),
    ]


def of_redis(broker: Broker) -> list[Duty]:
    """What is to be done between PostgreSQL and Redis."""
    reading, watch, trail, scan, shown = Reading(), Watch(), Trail(), Scan(), Shown()
    mirror = Mirror()
    return [
        Duty(
            name="requeue_lost",
            keep=lambda: requeue_lost(broker, reading),
            every=1.0,
            full=1,
            level=NOTABLE,
        ),
        Duty(
            name="requeue_popped",
            keep=lambda: requeue_popped(broker, watch),
            every=1.0,
            level=NOTABLE,
        ),
        Duty(
            name="requeue_overtaken",
            keep=lambda: requeue_overtaken(broker, trail, reading),
            every=2.0,
            full=1,
            level=NOTABLE,
        ),
        Duty(
            name="remove_leftovers",
            keep=lambda: remove_leftovers(broker, scan),
            every=1.0,
            level=logging.INFO,
        ),
        Duty(
            name="mirror_schedules",
            keep=lambda: mirror_schedules(broker.redis, mirror),
            every=2.0,
        ),
        Duty(name="tidy_registries", keep=lambda: tidy_registries(broker, shown), every=5.0),
    ]
