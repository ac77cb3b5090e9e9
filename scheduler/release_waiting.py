"""Duty: a tick that waited for the schedule's earlier task is submitted when that is finished."""

from tasks import firing
from tasks.database import sessions


def release_waiting() -> int:
    """Return how many ticks were submitted, for the log."""
    with sessions.begin() as session:
        return firing.release_waiting(session)
