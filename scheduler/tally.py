"""Duty: the changes of status written down by the tasks themselves are added up."""

from tasks import stats
from tasks.database import sessions


def tally() -> int:
    """Return how many rows were added up."""
    with sessions.begin() as session:
        return stats.compact(session)
