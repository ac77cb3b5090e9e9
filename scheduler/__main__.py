"""`python -m scheduler`: one scheduler process; any number of them may run."""

import os
import sys
from datetime import timedelta

import logs
import settings
from scheduler.duties import Terms
from scheduler.process import Scheduler
from tasks import actions, broker, catalog, database, declared, sealing
from tasks.errors import UnfitServer
from tasks.lifecycle import Status
from tasks.sealing import Vault

PUSH_PATIENCE = 0.5  # seconds; a push that fails is repeated, a due task must not be late
PATIENCE = 2.0  # … of what compares the tasks with Redis
DATABASE_PATIENCE = 5.0  # … one statement about a thousand rows may take


def main() -> None:
    chosen = settings.load(os.environ)
    logs.configure(chosen)
    pushing, comparing = (
        broker.Broker(
            broker.connect(chosen.redis_url, patience=patience, verify_tls=chosen.redis_tls_verify)
        )
        for patience in (PUSH_PATIENCE, PATIENCE)
    )
    broker.refuse_unfit(comparing.redis)
    database.open(chosen.database_url, pushing, connections=3, patience=DATABASE_PATIENCE)
    catalog.load(chosen.task_modules)  # for the schedules that they declare
    sealing.configure(Vault(chosen.payload_keys))
    actions.configure(
        actions.Terms(
            timeout=chosen.default_task_timeout,
            max_retries=chosen.max_retry_attempts,
            max_payload_bytes=chosen.max_payload_bytes,
        )
    )
    declared.resolve_all()
    terms = Terms(
        lease=timedelta(seconds=chosen.worker_lease),
        max_crashes=chosen.max_crashes,
        keep_tasks={
            Status(status): timedelta(days=days) for status, days in chosen.retention_days.items()
        },
        keep_fires=timedelta(days=max(chosen.retention_days.values())),
        keep_statistics=timedelta(days=chosen.queue_stats_days),
        keep_audit=timedelta(days=chosen.audit_days),
        idempotency_key_hours=chosen.idempotency_key_hours,
    )
    Scheduler(comparing, terms).run()


if __name__ == "__main__":
    try:
        main()
    except UnfitServer as problem:
        sys.exit(str(problem))
