"""Compare cron libraries with a reference that looks at every moment.

    python -m venv /tmp/cron && /tmp/cron/bin/pip install croniter==7.0.0 cronsim==2.8 \
        crontab==1.0.5 apscheduler==3.11.3 cron-converter==2.0.2 tzdata==2026.6
    PYTHONPATH=. /tmp/cron/bin/python benchmarks/cron_libraries.py [years] [zones]

Prints the figures of docs/decisions/0010-cron-library.md. With the defaults, every zone of the
database and ten years, it takes about an hour; give `2 40` for a look.
"""

import importlib.resources
import signal
import sys
import time
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

from tests.tasks.cron_by_hand import CronByHand, moments, walk

Library = Callable[[str, datetime], Iterator[datetime]]  # expression, start → moments after it

DAILY, HALF_HOURLY, MONTHLY = "30 2 * * *", "*/30 * * * *", "0 0 1 * *"
FIELDS = [
    "* * * * *", "*/7 * * * *", "5-50/9 * * * *", "0 0 * * *", "15,45 8-18/2 * * *",
    "0 9 * * mon-fri", "0 0 13 * fri", "0 0 1,15 * 3", "0 0 */2 * mon", "0 0 1 * */2",
    "0 0 * * 0", "0 0 * * 7", "0 0 * * 5-7", "0 12 1-7 * sun", "0 0 31 * *", "0 0 29 2 *",
    "0 0 1 jan,jul *", "0 0 10-20/5 */3 *", "59 23 31 12 *", "0 0 30 4,6,9,11 1",
]  # fmt: skip
SECONDS = ["*/5 * * * * *", "30 * * * * *", "0,59 59 * * * *", "10-20 0 12 * * mon", "0 30 2 1 * *"]
IMPOSSIBLE = ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 */2"]
WRONG = ["60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
         "5-1 * * * *", "* * * *", "a * * * *", "1.5 * * * *", "-1 * * * *", "* * ? * *",
         "١ * * * *", "1,,2 * * * *", "", "* * * * * * *"]  # fmt: skip


def by_croniter(expression: str, start: datetime) -> Iterator[datetime]:
    import croniter

    six = len(expression.split()) == 6
    found = croniter.croniter(expression, start, second_at_beginning=six)
    while True:
        yield found.get_next(datetime)


def by_croniter_as_vixie(expression: str, start: datetime) -> Iterator[datetime]:
    import croniter

    six = len(expression.split()) == 6
    found = croniter.croniter(expression, start, second_at_beginning=six, implement_cron_bug=True)
    while True:
        yield found.get_next(datetime)


def by_cronsim(expression: str, start: datetime) -> Iterator[datetime]:
    from cronsim import CronSim

    return CronSim(expression, start)


def by_crontab(expression: str, start: datetime) -> Iterator[datetime]:
    from crontab import CronTab

    # Six fields end with the year there; seconds come first in seven.
    found = CronTab(f"{expression} *" if len(expression.split()) == 6 else expression)
    moment = start
    while (following := found.next(now=moment, return_datetime=True)) is not None:
        moment = following
        yield moment


def by_apscheduler(expression: str, start: datetime) -> Iterator[datetime]:
    from apscheduler.triggers.cron import CronTrigger

    if len(expression.split()) == 6:
        names = ("second", "minute", "hour", "day", "month", "day_of_week")
        fields: dict[str, Any] = dict(zip(names, expression.split(), strict=True))
        trigger = CronTrigger(**fields, timezone=start.tzinfo)
    else:
        trigger = CronTrigger.from_crontab(expression, timezone=start.tzinfo)
    moment = start + timedelta(microseconds=1)
    previous = None
    while (following := trigger.get_next_fire_time(previous, moment)) is not None:
        yield following
        previous, moment = following, following


def by_cron_converter(expression: str, start: datetime) -> Iterator[datetime]:
    from cron_converter import Cron

    schedule = Cron(expression).schedule(start_date=start)
    while True:
        yield schedule.next()


LIBRARIES: dict[str, Library] = {
    "croniter 7.0.0": by_croniter,
    "croniter, implement_cron_bug": by_croniter_as_vixie,
    "cronsim 2.8": by_cronsim,
    "crontab 1.0.5": by_crontab,
    "APScheduler 3.11.3": by_apscheduler,
    "cron-converter 2.0.2": by_cron_converter,
}


class TookTooLong(Exception):
    pass


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise TookTooLong

    signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)  # of processor time
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def until(found: Iterator[datetime], end: datetime) -> list[datetime]:
    """Its moments before `end`; the cap stops a library that turns in a circle."""
    ascending = takewhile(lambda each: each < end, (each.astimezone(UTC) for each in found))
    return list(islice(ascending, 400_000))


def fields(library: Library, expressions: list[str]) -> str:
    """How many expressions give exactly the reference's times of a leap year (or day)."""
    right, notes = 0, []
    for expression in expressions:
        expected = times(expression)
        try:
            with at_most(60):
                found = library(expression, START.replace(tzinfo=UTC))
                got = [next(found).replace(tzinfo=None) for _ in expected]
            right += got == expected
            if got != expected:
                notes.append(f"`{expression}`")
        except Exception as error:  # noqa: BLE001  # whatever a library raises
            notes.append(f"`{expression}` {type(error).__name__}")
    return f"{right} of {len(expressions)}" + (f" (not {', '.join(notes)})" if notes else "")


START = datetime(2027, 12, 31, 23, 59, 59)  # noqa: DTZ001  # local time, of no zone


@cache
def times(expression: str) -> list[datetime]:
    """What the reference says of a leap year, minute by minute, or of a day by the second."""
    cron = CronByHand(expression)
    six = len(expression.split()) == 6
    step = timedelta(seconds=1) if six else timedelta(minutes=1)
    moment, end = START + timedelta(seconds=1), START + timedelta(days=1 if six else 366)
    found = []
    while moment <= end:
        if cron.matches(moment):
            found.append(moment)
        moment += step
    return found


def distinct(names: set[str]) -> dict[bytes, list[str]]:
    """The zones by the content of their file: about half are other names for the same."""
    files = importlib.resources.files("tzdata") / "zoneinfo"
    groups: dict[bytes, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(files.joinpath(*name.split("/")).read_bytes(), []).append(name)
    return groups


def span(expression: str, years: int) -> tuple[datetime, datetime]:
    """Half-hourly schedules for a tenth of the time: slow libraries would take all day."""
    start = datetime(2020, 1, 1, tzinfo=UTC)
    return start, start.replace(
        year=start.year + (max(1, years // 10) if expression == HALF_HOURLY else years)
    )


def zones(library: Library, years: int, groups: list[list[str]]) -> dict[str, int]:
    """For each schedule, in how many zones every moment of the years is right."""
    right = dict.fromkeys((DAILY, HALF_HOURLY, MONTHLY), 0)
    for names in groups:
        for expression in right:
            start, end = span(expression, years)
            try:
                with at_most(20):
                    begin = start.astimezone(ZoneInfo(names[0])) - timedelta(seconds=1)
                    got = until(library(expression, begin), end)
            except Exception:  # noqa: BLE001  # whatever it raises, it is wrong
                continue
            right[expression] += len(names) * (got in expected(names[0], expression, years))
    return right


@cache
def expected(name: str, expression: str, years: int) -> list[list[datetime]]:
    """The right moments, under either answer to a gap."""
    start, end = span(expression, years)
    odd = name == "Antarctica/Casey"  # which once changed its clocks at one minute past midnight
    seen = walk(ZoneInfo(name), start, end, timedelta(minutes=1 if odd else 15))
    return [list(moments(CronByHand(expression), seen, gap)) for gap in ("run_after", "skip")]


def refusals(library: Library) -> tuple[int, str]:
    """How many wrong expressions are refused, and what becomes of impossible ones."""
    refused = 0
    for expression in WRONG:
        try:
            with at_most(5):
                next(library(expression, datetime(2026, 1, 1, tzinfo=UTC)))
        except TookTooLong:
            pass
        except Exception:  # noqa: BLE001  # whatever it raises
            refused += 1
    ends = []
    for expression in IMPOSSIBLE:
        begun = time.perf_counter()
        try:
            with at_most(20):
                ends.append(f"{next(library(expression, datetime(2026, 1, 1, tzinfo=UTC)))}")
        except Exception as error:  # noqa: BLE001  # whatever a library raises
            ends.append(f"{type(error).__name__} ({1000 * (time.perf_counter() - begun):.1f} ms)")
    return refused, ", ".join(ends)


def pace(library: Library) -> str:
    """Microseconds from an expression to its next moment."""
    rates = []
    for expression in ("0 6 * * mon", "*/5 * * * *", "0 0 29 2 *"):
        begun = time.perf_counter()
        for _ in range(200):
            next(library(expression, datetime(2026, 3, 4, 5, 6, tzinfo=UTC)))
        rates.append(f"{(time.perf_counter() - begun) / 200 * 1e6:,.0f}")
    return ", ".join(rates)


def main(years: int = 10, how_many: int = 0) -> None:
    zoneinfo.reset_tzpath(to=())  # the pinned tzdata package, not the machine's
    groups = list(distinct(zoneinfo.available_timezones()).values())
    groups = groups[:: len(groups) // how_many] if how_many else groups
    for name, library in LIBRARIES.items():
        print(f"\n## {name}")
        print(f"five fields, in UTC: {fields(library, FIELDS)}")
        print(f"six fields, in UTC: {fields(library, SECONDS)}")
        refused, ends = refusals(library)
        print(f"wrong expressions refused: {refused} of {len(WRONG)}")
        print(f"impossible ({', '.join(IMPOSSIBLE)}): {ends}")
        print(f"microseconds to the next moment (weekly, every 5 min, Feb 29): {pace(library)}")
        sys.stdout.flush()
        for expression, right in zones(library, years, groups).items():
            everywhere = sum(len(names) for names in groups)
            print(f"zones right for `{expression}` over {years} years: {right} of {everywhere}")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
