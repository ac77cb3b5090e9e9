"""Duty: schedules declared in code are made, and follow a change of the code."""

from tasks import declared


def synchronise_declared() -> int:
    """Return how many schedules were made or changed, for the log."""
    return declared.synchronise()
