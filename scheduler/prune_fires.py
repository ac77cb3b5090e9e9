"""Duty: what became of ticks is kept as long as finished tasks are, then deleted."""

from datetime import timedelta

from tasks import schedules
from tasks.database import sessions


def prune_fires(keep: timedelta, batch: int) -> int:
    """Return how many ticks were deleted, at most `batch`."""
    with sessions.begin() as session:
        return schedules.prune_fires(session, keep, batch)
