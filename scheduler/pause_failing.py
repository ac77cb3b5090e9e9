"""Duty: a schedule whose tasks keep failing is paused, if it says after how many."""

from tasks import firing
from tasks.database import sessions


def pause_failing() -> int:
    """Return how many schedules were paused, for the log."""
    with sessions.begin() as session:
        return len(firing.pause_failing(session))
