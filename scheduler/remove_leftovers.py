"""Duty: jobs that Redis holds for no task, or for one that has ended, are removed."""

from dataclasses import dataclass
from datetime import timedelta

from tasks import backlog, inspection
from tasks.broker import Broker
from tasks.database import sessions

KEYS = 500  # looked at in one round
OVER_SINCE = timedelta(minutes=1)  # until then a worker may still be showing how the task ended


@dataclass
class Scan:
    """Where in Redis one process goes on looking."""

    cursor: int = 0


def remove_leftovers(broker: Broker, scan: Scan) -> int:
    """Look at some keys, and return how many jobs were removed. Raises redis-py's errors."""
    scan.cursor, ids = inspection.scan_jobs(broker.redis, scan.cursor, KEYS)
    if not ids:
        return 0
    with sessions.begin() as session:
        ended, unknown = backlog.unneeded(session, ids, OVER_SINCE)
    lasting = inspection.lasting(broker.redis, [*ended, *unknown])
    # What has a task is ours, whatever became of its job; the rest may be anybody's.
    leftovers = [id for id, ours in lasting.items() if ours or id in ended]
    broker.remove(map(str, leftovers))
    return len(leftovers)
