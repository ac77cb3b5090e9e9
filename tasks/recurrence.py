"""When a schedule fires next: cron, every so often, or once, in any zone.

Cron is about what the clocks show, and clocks are changed twice a year:

- A schedule of certain hours fires once for each local time. In a fold, where a local time exists
  twice, that is its first occurrence; in a gap, where it does not exist, it fires right after the
  gap or is skipped, as the schedule says.
- A schedule of every hour has no time of day to keep. It follows elapsed time through gaps and
  folds, so that `*/5 * * * *` is never silent for an hour and never runs twice in a minute.

The library matches fields against naive local times; zones, gaps and folds are decided here.
Pure: the same rule and the same time give the same ticks everywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum, auto
from hashlib import blake2b
from itertools import islice, takewhile
from uuid import UUID
from zoneinfo import ZoneInfo

from cronsim import CronSim

from tasks import zones

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
INSTANT = timedelta(microseconds=1)
HORIZON = timedelta(days=36525)
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def spelled_out(cron: str) -> str:
    """The fields that a nickname stands for."""
    return NICKNAMES.get(cron.strip().lower(), cron)


class Gap(StrEnum):
    """What becomes of a local time that does not exist."""

    RUN_AFTER = auto()  # it fires at the moment the clocks are changed
    SKIP = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """When a schedule fires: one of `cron`, `every` and `at`. `tasks.objections` checks it."""

    cron: str | None = None  # five fields, six with seconds first, or a nickname
    every: timedelta | None = None  # counted from `starts_at`, else from 1970, so it never drifts
    at: datetime | None = None  # once
    timezone: str = "UTC"
    starts_at: datetime | None = None  # the first moment at which it may fire
    ends_at: datetime | None = None  # … and the first at which it may not any more
    gap: Gap = Gap.RUN_AFTER

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


@dataclass(frozen=True, slots=True)
class Tick:
    """One moment of a rule, known by its time in UTC."""

    at: datetime
    wanted: datetime | None = None  # the local time, without a zone, if it lies in a gap
    skipped: bool = False  # it lies in a gap, and the rule skips those


def next_after(rule: Rule, after: datetime) -> Tick | None:
    """The next tick that fires, strictly later than `after`; None when there is none."""
    return next((tick for tick in ticks(rule, after) if not tick.skipped), None)


def between(rule: Rule, start: datetime, end: datetime) -> Iterator[Tick]:
    """The ticks in [start, end), those skipped for a gap among them."""
    return takewhile(lambda tick: tick.at < end, ticks(rule, start - INSTANT))


def upcoming(rule: Rule, after: datetime, count: int) -> list[Tick]:
    """The next ticks that fire, as far as `HORIZON`: looking on takes its time for rare ones."""
    found = (tick for tick in between(rule, after + INSTANT, after + HORIZON) if not tick.skipped)
    return list(islice(found, count))


def note(rule: Rule, tick: Tick) -> str | None:
    """What is special about a tick's local time, in words that begin with `gap` or `fold`."""
    if tick.wanted is not None:
        return f"gap: {tick.wanted:%H:%M:%S} does not exist on this day; right after the gap"
    occurrence = zones.occurrence(rule.zone, tick.at)
    if occurrence is None:
        return None
    local = tick.at.astimezone(rule.zone)
    return f"fold: {local:%H:%M:%S} exists twice on this day; the {occurrence}"


def jitter(schedule_id: UUID, tick: datetime, at_most: timedelta) -> timedelta:
    """How late a tick fires: a chance that every scheduler draws alike."""
    if not at_most:
        return at_most
    seed = schedule_id.bytes + int((tick - EPOCH) / INSTANT).to_bytes(8, "big", signed=True)
    drawn = int.from_bytes(blake2b(seed, digest_size=8).digest()) / 2**64
    return timedelta(milliseconds=int(drawn * (at_most / timedelta(milliseconds=1))))


def ticks(rule: Rule, after: datetime) -> Iterator[Tick]:
    """Every tick strictly later than `after`, in order, those skipped for a gap among them."""
    after = after.astimezone(UTC)
    if rule.starts_at is not None:
        after = max(after, rule.starts_at.astimezone(UTC) - INSTANT)
    if rule.cron is not None:
        found = _by_cron(rule, after)
    elif rule.every is not None:
        found = _by_interval(rule.every, (rule.starts_at or EPOCH).astimezone(UTC), after)
    else:
        found = (Tick(at.astimezone(UTC)) for at in [rule.at] if at is not None and at > after)
    ends_at = rule.ends_at
    return found if ends_at is None else takewhile(lambda tick: tick.at < ends_at, found)


def _by_interval(every: timedelta, anchor: datetime, after: datetime) -> Iterator[Tick]:
    number = max((after - anchor) // every + 1, 0)
    while (at := anchor + number * every).year <= zones.LAST_YEAR:
        yield Tick(at)
        number += 1


def _by_cron(rule: Rule, after: datetime) -> Iterator[Tick]:
    expression = spelled_out(rule.cron or "")
    seen: datetime | None = None  # the local time up to which the clocks have been followed
    wanted: datetime | None = None  # the next local time that matches
    for stretch in zones.stretches(rule.zone, after):
        if seen is None:
            seen = after.replace(tzinfo=None) + stretch.offset
            matches = CronSim(expression, seen)
            every_hour = len(matches.hours) == 24
            if not every_hour and seen < stretch.closed_before:  # in the second pass of a fold
                matches = CronSim(expression, stretch.closed_before - SECOND)
            wanted = next(matches, None)
        elif every_hour and stretch.opens < seen:
            matches = CronSim(expression, stretch.opens - SECOND)
            wanted = next(matches, None)
        missing = None
        while wanted is not None and wanted < stretch.opens:
            missing = missing or wanted
            wanted = next(matches, None)
        if missing and wanted != stretch.opens and not every_hour:
            yield Tick(stretch.start, missing, skipped=rule.gap is Gap.SKIP)
        while wanted is not None and wanted < stretch.closes:
            yield Tick(wanted.replace(tzinfo=UTC) - stretch.offset)
            wanted = next(matches, None)
        if wanted is None:
            return
        seen = max(seen, stretch.closes)
