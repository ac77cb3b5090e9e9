"""Workers, schedulers and clients in processes of their own, forked from a clean, warm one."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from jobs.horse import HorseTerms
from jobs.worker import Worker, WorkerTerms
from scheduler.attention import Attention
from scheduler.dispatch_due import dispatch_due
from scheduler.fire_schedules import fire_schedules
from scheduler.requeue_lost import Reading, requeue_lost
from scheduler.rescue_silent import rescue_silent
from tasks import actions, broker, catalog, database
from tests.guarantee.deeds import Deed, arm

LEASE = 1.0  # seconds
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload([__name__, "tests.jobs.obedient"])


class Failing(NamedTuple):
    """Where and how a process is to fail, and the file that tells that it has."""

    step: str
    moment: str
    deed: Deed
    mark: Path


class Servers(NamedTuple):
    """Where the servers are."""

    database_url: str
    redis_url: str


def prepare(servers: Servers, failing: Failing | None, log: Path) -> broker.Broker:
    """Open what a process of ours needs, and arm it."""
    sys.stdout = sys.stderr = log.open("a", buffering=1)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, force=True)
    carrier = broker.Broker(broker.connect(servers.redis_url, patience=1))
    database.open(servers.database_url, carrier, connections=2, patience=1, stillness=LEASE)
    catalog.load(["tests.jobs.obedient"])
    if failing:
        arm(*failing)
    return carrier


def be_a_worker(servers: Servers, failing: Failing | None, log: Path, queue: str) -> None:
    carrier = prepare(servers, failing, log)
    terms = WorkerTerms(
        concurrency=1,
        only_queues=[queue],
        lease=LEASE,
        grace=1,
        max_crashes=5,
        spool=log.parent / "spool",
        horse=HorseTerms(threads=2),
    )
    Worker(carrier, terms).work()


def be_a_client(servers: Servers, failing: Failing | None, log: Path, queue: str, do: str) -> None:
    prepare(servers, failing, log)
    submission = actions.Submission(
        name="obey", payload={"do": do, "value": str(log.parent / "executions")}, queue_name=queue
    )
    once = actions.Once("the-key", b"the request")
    actions.submit_once([submission], once)


def be_a_scheduler(servers: Servers, failing: Failing | None, log: Path) -> None:
    """Keep, once, the duties that the guarantee rests on."""
    carrier = prepare(servers, failing, log)
    attention = Attention(LEASE)
    dispatch_due(100)
    fire_schedules()
    rescue_silent(timedelta(seconds=LEASE), 5, attention)
    requeue_lost(carrier, Reading())
