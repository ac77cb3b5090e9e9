"""Duty: what a schedule asks for is submitted at each of its ticks, once."""

from tasks import firing
from tasks.database import sessions


def fire_schedules() -> int:
    """Return how many schedules were due; as many as `firing.SCHEDULES` mean that more may be."""
    with sessions.begin("fire") as session:
        done = firing.fire_due(session)
    return firing.SCHEDULES if done.more else done.schedules
