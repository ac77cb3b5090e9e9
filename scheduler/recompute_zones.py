"""Duty: with a newer zone database the next fires are computed anew."""

from tasks import schedules
from tasks.database import sessions


def recompute_zones(batch: int) -> int:
    """Return how many schedules an older database had computed, at most `batch`."""
    with sessions.begin() as session:
        return schedules.recompute(session, batch)
