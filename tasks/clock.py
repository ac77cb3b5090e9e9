"""The one place that asks the time.

What must agree between machines asks PostgreSQL's clock instead; durations are measured
with `time.monotonic`.
"""

from datetime import UTC, datetime


def now() -> datetime:
    """This machine's time, aware, in UTC."""
    return datetime.now(UTC)
