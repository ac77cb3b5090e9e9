"""The ticks in every zone are those of a reference that looks at every moment.

`EVERY_MOMENT=1 pytest -n auto` and this file look at all moments of ten years, which takes half an
hour. Otherwise: around each change of the clocks, of a year in all zones and of ten in some, and
at all moments of a year in a few.
"""

import importlib.resources
import os
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tasks import recurrence, zones
from tasks.recurrence import EPOCH, Gap, Rule
from tests.tasks.cron_by_hand import CronByHand, moments, walk

START, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
DAY, QUARTER, MINUTE = timedelta(days=1), timedelta(minutes=15), timedelta(minutes=1)
STEP = {"Antarctica/Casey": MINUTE}  # elsewhere all offsets and changes are at a quarter
EVERYTHING = "EVERY_MOMENT" in os.environ
IN_FULL = ["America/New_York", "Africa/Casablanca", "Australia/Lord_Howe"]

DAILY = ["0 0 * * *", "30 2 * * *", "45 23 * * *"]
HALF_HOURLY = ["*/30 * * * *", "15,45 0-5 * * *"]
MONTHLY = ["0 0 1 * *", "30 1 1-7 3,10 sun"]
SCHEDULES = {cron: CronByHand(cron) for cron in [*DAILY, *HALF_HOURLY, *MONTHLY]}


def files() -> dict[bytes, str]:
    """One zone for each content of the database: about half are other names for the same."""
    folder = importlib.resources.files("tzdata") / "zoneinfo"
    return {folder.joinpath(*name.split("/")).read_bytes(): name for name in sorted(zones.names())}


ZONES = sorted(files().values())


def windows(zone: ZoneInfo, start: datetime, years: int) -> Iterator[tuple[datetime, datetime]]:
    """The day of each change of the clocks, the one before and the one after."""
    day, end = start, start.replace(year=start.year + years)
    while day < end:
        if zone.utcoffset(day.replace(tzinfo=None)) != zone.utcoffset(
            day.replace(tzinfo=None) + DAY
        ):
            yield day - DAY, day + 2 * DAY
        day += DAY


def compare(name: str, start: datetime, end: datetime, *gaps: Gap) -> None:
    seen = walk(ZoneInfo(name), start, end, STEP.get(name, QUARTER))
    for cron, by_hand in SCHEDULES.items():
        for gap in gaps or Gap:
            rule = Rule(cron=cron, timezone=name, gap=gap)
            found = [each.at for each in recurrence.between(rule, start, end) if not each.skipped]
            assert found == list(moments(by_hand, seen, gap)), f"{cron} in {name}, gap: {gap}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ZONES if EVERYTHING else IN_FULL)
def test_every_moment_is_right(name: str) -> None:
    end = END if EVERYTHING else START.replace(year=START.year + 1)
    compare(name, START, end, Gap.RUN_AFTER)


@pytest.mark.parametrize("beginning", sorted({name[:4] for name in ZONES}))
def test_every_change_of_the_clocks_in_a_year_is_right(beginning: str) -> None:
    for name in ZONES:
        if name.startswith(beginning):
            for start, end in windows(ZoneInfo(name), datetime(2026, 1, 1, tzinfo=UTC), years=1):
                compare(name, start, end)


@pytest.mark.parametrize("name", ZONES if EVERYTHING else [*IN_FULL, "Antarctica/Casey"])
def test_every_change_of_the_clocks_in_ten_years_is_right(name: str) -> None:
    for start, end in windows(ZoneInfo(name), START, years=10):
        compare(name, start, end)


@pytest.mark.parametrize(
    ("name", "year"),
    [
        ("Pacific/Apia", 2011),  # a whole day missing
        ("Pacific/Kwajalein", 1993),
        ("America/Caracas", 2007),  # half an hour back
        ("Asia/Pyongyang", 2018),
        ("Antarctica/Troll", 2016),  # two hours
        ("Antarctica/Casey", 2010),  # three hours
        ("Africa/Cairo", 2014),  # four changes in a year
        ("Europe/Dublin", 1968),  # winter time is the exception
        ("Asia/Kathmandu", 1986),  # a quarter of an hour
        ("America/Scoresbysund", 2024),  # two hours at once
        ("America/Godthab", 2023),
    ],
)
def test_the_odd_changes_of_the_past_are_right(name: str, year: int) -> None:
    for start, end in windows(ZoneInfo(name), datetime(year, 1, 1, tzinfo=UTC), years=1):
        compare(name, start, end)


@pytest.mark.parametrize("name", ZONES if EVERYTHING else ZONES[::40])
def test_no_change_of_the_clocks_since_1970_is_overlooked(name: str) -> None:
    found = {
        stretch.start
        for year in range(1970, 2038)
        for stretch in zones._stretches_of_year(ZoneInfo(name), year)
        if stretch.offset != stretch.before
    }

    assert found == changes_in_its_file(name)


def changes_in_its_file(name: str) -> set[datetime]:
    """The moments at which the offset changes, as its TZif file (RFC 8536) lists them."""
    folder = importlib.resources.files("tzdata") / "zoneinfo"
    content = folder.joinpath(*name.split("/")).read_bytes()
    *_, leaps, times, types, chars = header(content)
    first_block = 44 + times * 5 + types * 6 + chars + leaps * 8 + sum(header(content)[:2])
    content = content[first_block:]
    *_, leaps, times, types, chars = header(content)
    moments_ = struct.unpack_from(f">{times}q", content, 44)
    which = content[44 + 8 * times : 44 + 9 * times]
    offsets = [struct.unpack_from(">i", content, 44 + 9 * times + 6 * n)[0] for n in range(types)]
    zone, found = ZoneInfo(name), set()
    for number, moment in enumerate(moments_):
        before = offsets[which[number - 1]] if number else offsets[0]
        at = EPOCH + timedelta(seconds=moment)
        if before != offsets[which[number]] and 1970 <= at.year < 2038:
            found.add(at)
    last = max(found, default=EPOCH)
    if moments_ and last.year < 2037:  # from there on its last line, a rule, is in force
        at = max(EPOCH, EPOCH + (timedelta(seconds=moments_[-1]) // DAY + 1) * DAY)
        while (at := at + QUARTER).year < 2038:
            if zones.offset(zone, at) != zones.offset(zone, at + DAY):
                while zones.offset(zone, at) == zones.offset(zone, at + QUARTER):
                    at += QUARTER
                found.add(at + QUARTER)
            else:
                at += DAY - QUARTER
    return found


def header(content: bytes) -> tuple[int, ...]:
    """isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt."""
    return struct.unpack_from(">6l", content, 20)
