"""When the clocks of a zone change, after the pinned zone database alone."""

import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import count, islice
from zoneinfo import ZoneInfo

import tzdata

# The machine's own database may be of another year; every process must see the same zones.
zoneinfo.reset_tzpath(to=())
ZoneInfo.clear_cache()

VERSION: str = tzdata.IANA_VERSION  # such as 2026f; later ones sort after it

# No zone has ever changed its clocks and changed them back within this time.
SHORTEST_STRETCH = timedelta(hours=12)
LAST_YEAR = 9990  # datetime ends soon after it


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time during which the clocks of a zone keep one offset from UTC."""

    start: datetime  # in UTC, as `end`, which belongs to the next stretch
    end: datetime
    offset: timedelta
    before: timedelta  # the offset until `start`

    @property
    def opens(self) -> datetime:
        """What the clocks show at its start, without a zone."""
        return self.start.replace(tzinfo=None) + self.offset

    @property
    def closes(self) -> datetime:
        """What the clocks show at its end, before they are changed."""
        return self.end.replace(tzinfo=None) + self.offset

    @property
    def closed_before(self) -> datetime:
        """What the clocks showed when it started, before they were changed."""
        return self.start.replace(tzinfo=None) + self.before


@cache
def names() -> frozenset[str]:
    """Every zone of the database."""
    return frozenset(zoneinfo.available_timezones())


def stretches(zone: ZoneInfo, moment: datetime) -> Iterator[Stretch]:
    """The stretches of a zone from the one that `moment` lies in; a new year also ends one."""
    for year in count(moment.astimezone(UTC).year):
        if year > LAST_YEAR:
            return
        yield from (each for each in _stretches_of_year(zone, year) if each.end > moment)


def occurrence(zone: ZoneInfo, moment: datetime) -> str | None:
    """Whether this is the first or the second time that clocks show what they do; None: the only.

    `datetime.fold` does not tell: it is wrong near the end of a zone's list of changes.
    """
    here, then = islice(stretches(zone, moment), 2)
    shown = moment.astimezone(UTC).replace(tzinfo=None) + here.offset
    if shown < here.closed_before:
        return "second"
    return "first" if shown >= then.opens else None


@lru_cache(maxsize=8192)
def _stretches_of_year(zone: ZoneInfo, year: int) -> tuple[Stretch, ...]:
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    found: list[Stretch] = []
    before = offset(zone, start - timedelta(seconds=1))
    moment = start
    while moment < end:
        look = min(moment + SHORTEST_STRETCH, end - timedelta(seconds=1))
        if offset(zone, look) == offset(zone, moment):
            moment = look + timedelta(seconds=1)
            continue
        change = _change(zone, moment, look)
        found.append(Stretch(start, change, offset(zone, moment), before))
        start, before, moment = change, offset(zone, moment), change
    found.append(Stretch(start, end, offset(zone, end - timedelta(seconds=1)), before))
    return tuple(found)


def _change(zone: ZoneInfo, early: datetime, late: datetime) -> datetime:
    """The second at which the offset changes, between two moments at which it differs."""
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=(late - early) // timedelta(seconds=2))
        if offset(zone, middle) == offset(zone, early):
            early = middle
        else:
            late = middle
    return late


def offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    """How far the clocks are ahead of UTC at a moment."""
    return moment.astimezone(zone).utcoffset() or timedelta()
