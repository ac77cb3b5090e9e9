"""`python -m jobs`: one worker process with its horses.

`python -m jobs reseal` seals every stored secret with the newest of PAYLOAD_KEYS instead, and ends.
"""

import logging
import os
import sys

import logs
import settings
from jobs import handlers
from jobs.handlers import SHIPPED
from jobs.horse import HorseTerms
from jobs.settling import replay
from jobs.worker import Worker, WorkerTerms
from settings import SettingError
from tasks import broker, catalog, database, resealing, sealing
from tasks.errors import DatabaseUnavailable, UnfitServer
from tasks.sealing import Vault

log = logging.getLogger("jobs")


def main() -> None:
    chosen = settings.load(os.environ)
    logs.configure(chosen)
    patience = min(5.0, chosen.worker_lease / 4)  # a hung server must not cost the lease
    redis = broker.connect(
        chosen.redis_url, patience=min(2.0, patience), verify_tls=chosen.redis_tls_verify
    )
    broker.refuse_unfit(redis)
    carrier = broker.Broker(redis)
    database.open(
        chosen.database_url,
        carrier,
        connections=2,
        patience=patience,
        stillness=chosen.worker_lease,
    )
    catalog.load([*SHIPPED, *chosen.task_modules])
    sealing.configure(Vault(chosen.payload_keys))
    try:
        handlers.configure(
            allow_networks=chosen.http_allow_networks,
            smtp_url=chosen.smtp_url,
            smtp_from=chosen.smtp_from,
        )
    except ValueError as problem:
        raise SettingError(str(problem)) from None
    if sys.argv[1:] == ["reseal"]:
        log.info("%d payloads are sealed with the newest key", resealing.reseal_all())
        return
    try:
        if accepted := replay(chosen.spool_dir):
            log.info("replayed %d spooled outcomes", accepted)
    except DatabaseUnavailable:
        log.warning("PostgreSQL is away: spooled outcomes are left to the next start")
    Worker(
        carrier,
        WorkerTerms(
            concurrency=chosen.worker_concurrency,
            only_queues=chosen.worker_queues,
            weighted=chosen.queue_strategy == "weighted",
            lease=chosen.worker_lease,
            grace=chosen.shutdown_grace,
            max_tasks=chosen.worker_max_tasks,
            max_memory=chosen.worker_max_memory,
            max_crashes=chosen.max_crashes,
            spool=chosen.spool_dir,
            keep_finished=chosen.finished_jobs_ttl,
            horse=HorseTerms(
                threads=chosen.worker_threads, max_result_bytes=chosen.max_result_bytes
            ),
        ),
    ).work()


if __name__ == "__main__":
    try:
        main()
    except UnfitServer as problem:
        sys.exit(str(problem))
