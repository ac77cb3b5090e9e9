"""Duty: the audit is kept for as long as it was asked to, then its oldest entries go."""

from datetime import timedelta

from tasks import retention
from tasks.database import sessions


def prune_audit(keep: timedelta, batch: int) -> int:
    """Return how many entries were deleted, at most `batch`."""
    with sessions.begin() as session:
        return retention.prune_audit(session, keep, batch)
