"""Duty: a task that nobody started before it expired is cancelled instead of run late."""

from tasks import store
from tasks.database import sessions


def expire(batch: int) -> int:
    """Return how many tasks were cancelled, at most `batch`."""
    with sessions.begin() as session:
        return len(store.expire(session, batch))
