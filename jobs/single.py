"""One task in a process that is not ours: what a stock `rq worker` runs.

It is a worker of its own for the time of one attempt, with a lease that a thread renews; so the
same fence holds, and a task is right whoever runs it.
"""

import logging
import os
import socket
import threading
from datetime import timedelta
from functools import cache

import settings
from jobs import handlers, settling
from jobs.assignment import Assignment, Report
from jobs.handlers import SHIPPED
from jobs.interrupts import Interrupts
from jobs.outage import LONGEST_PAUSE
from jobs.perform import Performance
from jobs.settling import Outbox
from jobs.verdict import raised
from jobs.worker import unique_name
from settings import Settings
from tasks import broker, catalog, database, leases, sealing, store
from tasks.database import sessions
from tasks.errors import DatabaseUnavailable, Interruption
from tasks.lifecycle import Move
from tasks.sealing import Vault

log = logging.getLogger(__name__)


@cache
def prepared() -> Settings:
    """Open what one attempt needs; once per process."""
    chosen = settings.load(os.environ)
    redis = broker.connect(chosen.redis_url, patience=1.0, verify_tls=chosen.redis_tls_verify)
    database.open(chosen.database_url, broker.Broker(redis), connections=2, patience=5.0)
    catalog.load([*SHIPPED, *chosen.task_modules])
    sealing.configure(Vault(chosen.payload_keys))
    handlers.configure(
        allow_networks=chosen.http_allow_networks,
        smtp_url=chosen.smtp_url,
        smtp_from=chosen.smtp_from,
    )
    return chosen


def attempt(task_id: str) -> None:
    """Start, run and settle this task, if it is there to be started."""
    chosen = prepared()
    lease = timedelta(seconds=chosen.worker_lease)
    worker_id = unique_name()
    with sessions.begin() as session:
        leases.register(
            session,
            worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=chosen.worker_queues,
            kinds=sorted(catalog.kinds()),
            concurrency=1,
            lease=lease,
        )
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(worker_id, lease, over), daemon=True)
    renewing.start()
    try:
        with sessions.begin() as session:
            claims = store.start_many(session, [task_id], worker_id, list(catalog.kinds()))
        for claim in claims:
            report = _run(Assignment.of(claim, worker_id), chosen.max_result_bytes)
            if report.move is not Move.CANCEL:
                _settle(report, worker_id, over)
    finally:
        over.set()
        with sessions.begin() as session:
            leases.leave(session, worker_id)


def _run(assignment: Assignment, max_result_bytes: int) -> Report:
    interrupts = Interrupts()
    performance = Performance(assignment, lambda said: None, max_result_bytes)
    try:
        interrupts.begin(performance)
        report = performance.run()
        interrupts.end(performance)
    except Interruption as late:
        interrupts.end(performance)
        report = raised(assignment, None, late, assignment.timeout)
    return report


def _settle(report: Report, worker_id: str, over: threading.Event) -> None:
    outbox = Outbox()
    outbox.add(
        settling.settlement_of(report, worker_id),
        queue="",
        settled=report.settled,
    )
    while len(outbox):
        try:
            outbox.settle()
        except DatabaseUnavailable:
            over.wait(LONGEST_PAUSE)


def _renew(worker_id: str, lease: timedelta, over: threading.Event) -> None:
    while not over.wait(lease.total_seconds() / 3):
        try:
            with sessions.begin() as session:
                leases.renew(session, worker_id, lease)
        except DatabaseUnavailable:
            log.warning("could not renew the lease; trying again")
