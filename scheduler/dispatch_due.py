"""Duty: a scheduled task whose time has come is made pending, and pushed."""

from tasks import store
from tasks.database import sessions


def dispatch_due(batch: int) -> int:
    """Return how many tasks became pending, at most `batch`."""
    with sessions.begin("dispatch") as session:
        return len(store.dispatch_due(session, batch))
