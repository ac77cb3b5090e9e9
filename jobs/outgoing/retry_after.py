"""When a server asks to be called again."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import uniform

LONGEST = timedelta(hours=1)
SECONDS = re.compile(r"[0-9]{1,9}")


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long the server asks us to wait (RFC 9110, 10.2.3); None if it does not, or wrongly.

    A date is compared with the answer's own `Date`, so that clocks need not agree. Up to a tenth
    is added, so that tasks told the same do not come back together. `headers` are by lower-case
    name.
    """
    text = headers.get("retry-after", "").strip()
    if SECONDS.fullmatch(text):
        delay = timedelta(seconds=int(text))
    else:
        until = http_date(text)
        if until is None:
            return None
        delay = until - (http_date(headers.get("date", "")) or now)
    if delay <= timedelta():
        return None
    return min(delay, LONGEST) * uniform(1, 1.1)  # noqa: S311  # spreads load


def http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
