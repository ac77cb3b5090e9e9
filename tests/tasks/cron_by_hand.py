"""A slow and obvious cron to compare the quick one with: it looks at every moment, one by one.

Fields after crontab(5). Moments are walked in UTC and turned into local time by `zoneinfo`, so
nothing here knows where a zone's clock changes are; they show only as a jump of the local time.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


class CronByHand:
    """Six fields: second, minute, hour, day of month, month, day of week."""

    def __init__(self, expression: str) -> None:
        fields = expression.lower().split()
        second, minute, hour, day, month, weekday = fields if len(fields) == 6 else ["0", *fields]
        self.seconds = numbers(second, 0, 59)
        self.minutes = numbers(minute, 0, 59)
        self.hours = numbers(hour, 0, 23)
        self.days = numbers(day, 1, 31)
        self.months = numbers(month, 1, 12, MONTHS, 1)
        self.weekdays = {each % 7 for each in numbers(weekday, 0, 7, DAYS, 0)}
        self.both_days = day.startswith("*") or weekday.startswith("*")
        self.every_hour = self.hours == set(range(24))

    def on(self, year: int, month: int, day: int, weekday: int) -> bool:
        """Whether it can match on a day; `weekday` counts from Sunday."""
        by_day, by_weekday = day in self.days, weekday in self.weekdays
        fits = (by_day and by_weekday) if self.both_days else (by_day or by_weekday)
        return month in self.months and fits

    def matches(self, local: datetime) -> bool:
        return (
            local.minute in self.minutes
            and local.hour in self.hours
            and local.second in self.seconds
            and self.on(local.year, local.month, local.day, local.isoweekday() % 7)
        )


def numbers(
    field: str, lowest: int, highest: int, names: list[str] | None = None, first: int = 0
) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, dash, high = span.partition("-")
        if span == "*":
            start, end = lowest, highest
        else:
            start = number(low, names, first)
            end = number(high, names, first) if dash else (highest if step else start)
        found |= set(range(start, end + 1, int(step or 1)))
    return found


def number(word: str, names: list[str] | None, first: int) -> int:
    return names.index(word) + first if names and word in names else int(word)


def walk(
    zone: ZoneInfo, start: datetime, end: datetime, step: timedelta
) -> list[tuple[datetime, datetime]]:
    """Every moment in [start - step, end) and what the clocks of the zone show then."""
    moment, seen = start - step, []
    while moment < end:
        seen.append((moment, moment.astimezone(zone)))
        moment += step
    return seen


def moments(
    cron: CronByHand, seen: list[tuple[datetime, datetime]], gap: str = "run_after"
) -> Iterator[datetime]:
    """Every moment of a walk, but for the first, at which the schedule fires.

    The step of the walk must divide all offsets of the zone and all times of the schedule.

    A schedule of certain hours fires once for each local time: at its first occurrence, or, if
    the clocks jump over it, at the jump. A schedule of every hour keeps pace with elapsed time.
    """
    step = seen[1][0] - seen[0][0]
    before = latest = seen[0][1]
    for moment, local in seen[1:]:
        # By what clocks show, not by `fold`, which zoneinfo has wrong in Nuuk on 28 October 2023.
        is_new, latest = local > latest, max(local, latest)
        fires = cron.matches(local) and (cron.every_hour or is_new)
        if local - before > step and not cron.every_hour and gap == "run_after":
            missing = before.replace(tzinfo=None) + step
            while not fires and missing < local.replace(tzinfo=None):
                fires = cron.matches(missing)
                missing += step
        if fires:
            yield moment
        before = local
