"""Duty: an Idempotency-Key stands for its first answer for a while, then it is free again."""

from tasks import idempotency
from tasks.database import sessions


def forget_idempotency_keys(hours: float, batch: int) -> int:
    """Return how many keys were forgotten, at most `batch`."""
    with sessions.begin() as session:
        return idempotency.prune(session, hours, batch)
