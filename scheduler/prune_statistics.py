"""Duty: the one-minute statistics of queues are kept for a while."""

from datetime import timedelta

from tasks import retention
from tasks.database import sessions


def prune_statistics(keep: timedelta) -> int:
    """Return how many rows went."""
    with sessions.begin() as session:
        return retention.prune_queue_stats(session, keep)
