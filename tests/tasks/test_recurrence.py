"""What the clocks show decides when a schedule fires, and each local time fires once."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import recurrence
from tasks.recurrence import Gap, Rule
from tests.tasks.cron_by_hand import CronByHand

YEARS = [datetime(year, 1, 1) for year in (2020, 2035)]  # noqa: DTZ001  # Hypothesis wants it so
PARIS = ZoneInfo("Europe/Paris")
SPRING = datetime(2026, 3, 29, tzinfo=UTC)  # 01:00 UTC: 02:00 becomes 03:00 in Paris
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)  # 01:00 UTC: 03:00 becomes 02:00 in Paris
SCHEDULE = UUID(int=7)


def local_times(rule: Rule, start: datetime, hours: float) -> list[str]:
    found = recurrence.between(rule, start, start + timedelta(hours=hours))
    return [f"{each.at.astimezone(rule.zone):%H:%M%z}" for each in found if not each.skipped]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["03:00+0200"]),  # right after the gap
        ("0 2 * * *", ["03:00+0200"]),
        ("*/10 2 * * *", ["03:00+0200"]),  # once, however many times fall into the gap
        ("0 2,3 * * *", ["03:00+0200"]),  # 02:00 and 03:00 are the same moment
        ("30 2,3 * * *", ["03:00+0200", "03:30+0200"]),
        ("30 1 * * *", ["01:30+0100"]),
        ("45 */2 * * *", ["03:00+0200", "04:45+0200"]),
        ("*/30 1-4 * * *", ["01:00+0100", "01:30+0100", "03:00+0200", "03:30+0200",
                            "04:00+0200", "04:30+0200"]),
        ("15 * * * *", ["01:15+0100", "03:15+0200", "04:15+0200"]),  # an hour between each
        ("@hourly", ["01:00+0100", "03:00+0200", "04:00+0200"]),
    ],
)  # fmt: skip
def test_a_local_time_in_a_gap_fires_right_after_it(cron: str, expected: list[str]) -> None:
    assert local_times(Rule(cron=cron, timezone="Europe/Paris"), SPRING, hours=3) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", []),
        ("0 2,3 * * *", ["03:00+0200"]),  # 03:00 exists
        ("30 2,3 * * *", ["03:30+0200"]),
        ("15 * * * *", ["01:15+0100", "03:15+0200", "04:15+0200"]),
    ],
)
def test_a_local_time_in_a_gap_may_be_skipped(cron: str, expected: list[str]) -> None:
    rule = Rule(cron=cron, timezone="Europe/Paris", gap=Gap.SKIP)

    assert local_times(rule, SPRING, hours=3) == expected


def test_a_skipped_local_time_is_still_a_tick_so_that_it_can_be_recorded() -> None:
    rule = Rule(cron="30 2 * * *", timezone="Europe/Paris", gap=Gap.SKIP)

    (tick,) = recurrence.between(rule, SPRING, SPRING + timedelta(hours=5))

    assert tick.skipped
    assert tick.at == SPRING + timedelta(hours=1)
    assert recurrence.note(rule, tick) == (
        "gap: 02:30:00 does not exist on this day; right after the gap"
    )


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["02:30+0200"]),  # its first occurrence
        ("0 2,3 * * *", ["02:00+0200", "03:00+0100"]),
        ("*/30 2 * * *", ["02:00+0200", "02:30+0200"]),
        ("15 2-4 * * *", ["02:15+0200", "03:15+0100"]),
        ("15 * * * *", ["02:15+0200", "02:15+0100", "03:15+0100"]),  # an hour between each
        ("@hourly", ["02:00+0200", "02:00+0100", "03:00+0100"]),
    ],
)
def test_a_local_time_that_exists_twice_fires_once(cron: str, expected: list[str]) -> None:
    assert local_times(Rule(cron=cron, timezone="Europe/Paris"), AUTUMN, hours=3) == expected


def test_it_does_not_fire_again_when_asked_in_the_middle_of_a_fold() -> None:
    rule = Rule(cron="30 2 * * *", timezone="Europe/Paris")
    in_second_pass = AUTUMN + timedelta(hours=1, minutes=10)

    tick = recurrence.next_after(rule, in_second_pass)

    assert tick is not None and tick.at == AUTUMN + timedelta(days=1, hours=1, minutes=30)


@settings(deadline=None)
@given(minutes=st.integers(-26_000, 26_000), change=st.sampled_from([SPRING, AUTUMN]))
def test_every_five_minutes_is_every_five_minutes_all_year(minutes: int, change: datetime) -> None:
    rule = Rule(cron="*/5 * * * *", timezone="Europe/Paris")

    found = recurrence.upcoming(rule, change + timedelta(minutes=minutes), 50)

    assert {later.at - earlier.at for earlier, later in pairwise(found)} == {timedelta(minutes=5)}


def test_notes_mark_gaps_and_folds() -> None:
    daily = Rule(cron="30 2 * * *", timezone="Europe/Paris")
    hourly = Rule(cron="@hourly", timezone="Europe/Paris")

    def notes(rule: Rule, start: datetime, count: int) -> list[str | None]:
        return [recurrence.note(rule, tick) for tick in recurrence.upcoming(rule, start, count)]

    assert notes(daily, SPRING, 2) == [
        "gap: 02:30:00 does not exist on this day; right after the gap",
        None,
    ]
    assert notes(daily, AUTUMN, 2) == ["fold: 02:30:00 exists twice on this day; the first", None]
    assert notes(hourly, AUTUMN, 2) == [
        "fold: 02:00:00 exists twice on this day; the second",
        None,
    ]
    assert notes(Rule(every=timedelta(days=1)), AUTUMN, 1) == [None]


def test_an_offset_that_only_changes_its_name_is_no_fold() -> None:
    rule = Rule(cron="45 23 * * *", timezone="America/Nuuk")  # from summer to winter time, -02

    (tick,) = recurrence.upcoming(rule, datetime(2023, 10, 28, 12, tzinfo=UTC), 1)

    assert tick.at == datetime(2023, 10, 29, 1, 45, tzinfo=UTC)
    assert recurrence.note(rule, tick) is None


def test_a_zone_that_lost_a_whole_day_runs_its_work_after_it() -> None:
    rule = Rule(cron="0 12 * * *", timezone="Pacific/Apia")  # 30 December 2011 did not exist there
    start = datetime(2011, 12, 29, 12, tzinfo=UTC)

    found = [
        f"{tick.at.astimezone(rule.zone):%d %H:%M}" for tick in recurrence.upcoming(rule, start, 4)
    ]

    assert found == ["29 12:00", "31 00:00", "31 12:00", "01 12:00"]


@pytest.mark.parametrize(
    "cron",
    [
        "0 0 13 * fri",  # both restricted: either
        "0 0 1,15 * 3",
        "0 0 */2 * mon",  # one begins with a star: both
        "0 0 1 * */2",
        "0 0 * * 0",
        "0 0 * * 7",
        "0 0 * * 5-7",
        "0 12 1-7 * sun",
        "15,45 8-18/2 * * mon-fri",
        "0 0 29 2 *",
        "59 23 31 12 *",
        "7 3 10-20/5 jan,jul,dec *",
    ],
)
def test_days_of_month_and_of_week_are_those_of_vixie_cron(cron: str) -> None:
    start, by_hand = datetime(2026, 1, 1, tzinfo=UTC), CronByHand(cron)

    found = [tick.at for tick in recurrence.upcoming(Rule(cron=cron), start, 60)]

    assert all(by_hand.matches(each) for each in found)
    day, expected = start, set()
    while len(expected) < 200 and day < found[-1]:
        if by_hand.on(day.year, day.month, day.day, day.isoweekday() % 7):
            expected.add(day.date())
        day += timedelta(days=1)
    assert {each.date() for each in found} - {start.date()} >= {
        each for each in expected if start.date() < each < found[-1].date()
    }


def test_six_fields_begin_with_the_second() -> None:
    found = recurrence.upcoming(Rule(cron="*/20 59 23 * * *"), datetime(2026, 1, 1, tzinfo=UTC), 4)

    assert [f"{tick.at:%d %H:%M:%S}" for tick in found] == [
        "01 23:59:00",
        "01 23:59:20",
        "01 23:59:40",
        "02 23:59:00",
    ]


@pytest.mark.parametrize(("nickname", "fields"), recurrence.NICKNAMES.items())
def test_nicknames_stand_for_fields(nickname: str, fields: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)

    assert recurrence.upcoming(Rule(cron=nickname), start, 20) == recurrence.upcoming(
        Rule(cron=fields), start, 20
    )


def test_an_interval_is_counted_from_its_start_and_never_drifts() -> None:
    starts_at = datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC)
    rule = Rule(every=timedelta(seconds=90), starts_at=starts_at)

    first = recurrence.upcoming(rule, starts_at - timedelta(days=1), 3)
    later = recurrence.next_after(rule, starts_at + timedelta(days=1000, seconds=1))

    assert [tick.at - starts_at for tick in first] == [timedelta(seconds=n) for n in (0, 90, 180)]
    assert later is not None
    assert (later.at - starts_at) % timedelta(seconds=90) == timedelta()


def test_an_interval_without_a_start_is_counted_from_1970() -> None:
    rule = Rule(every=timedelta(minutes=10))

    tick = recurrence.next_after(rule, datetime(2026, 1, 1, 12, 3, 4, tzinfo=UTC))

    assert tick is not None and tick.at == datetime(2026, 1, 1, 12, 10, tzinfo=UTC)


def test_once_is_once() -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)

    assert [tick.at for tick in recurrence.ticks(Rule(at=at), at - timedelta(days=1))] == [at]
    assert recurrence.next_after(Rule(at=at), at) is None


@pytest.mark.parametrize("rule", [{"cron": "0 * * * *"}, {"every": timedelta(hours=1)}])
def test_it_fires_from_its_start_until_before_its_end(rule: dict) -> None:
    starts_at = datetime(2026, 5, 1, 6, tzinfo=UTC)
    ends_at = starts_at + timedelta(hours=3)

    found = list(
        recurrence.ticks(
            Rule(**rule, starts_at=starts_at, ends_at=ends_at), starts_at.min.replace(tzinfo=UTC)
        )
    )

    assert [tick.at.hour for tick in found] == [6, 7, 8]


@settings(deadline=None)
@given(
    after=st.datetimes(*YEARS, timezones=st.just(UTC)),
    cron=st.sampled_from(["*/7 * * * *", "30 2 * * *", "*/13 */20 4 * * *", "0 0 1 */2 *"]),
    zone=st.sampled_from(["Europe/Paris", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
)
def test_walking_from_tick_to_tick_is_the_same_as_walking_at_once(
    after: datetime, cron: str, zone: str
) -> None:
    rule = Rule(cron=cron, timezone=zone)
    at_once = [tick.at for tick in recurrence.upcoming(rule, after, 30)]

    step_by_step, moment = [], after
    for _ in at_once:
        tick = recurrence.next_after(rule, moment)
        assert tick is not None
        step_by_step.append(moment := tick.at)

    assert step_by_step == at_once == sorted(set(at_once))
    assert at_once[0] > after


@settings(deadline=None)
@given(tick=st.datetimes(*YEARS, timezones=st.just(UTC)))
def test_jitter_is_the_same_wherever_it_is_drawn_and_stays_in_bounds(tick: datetime) -> None:
    drawn = recurrence.jitter(SCHEDULE, tick, timedelta(seconds=30))

    assert drawn == recurrence.jitter(SCHEDULE, tick.astimezone(PARIS), timedelta(seconds=30))
    assert timedelta() <= drawn < timedelta(seconds=30)


def test_jitter_spreads_ticks_evenly() -> None:
    ticks = islice(recurrence.ticks(Rule(every=timedelta(minutes=1)), SPRING), 2000)
    drawn = [recurrence.jitter(SCHEDULE, tick.at, timedelta(seconds=10)) for tick in ticks]

    for second in range(10):
        assert 120 < sum(each // timedelta(seconds=1) == second for each in drawn) < 280
    assert recurrence.jitter(SCHEDULE, SPRING, timedelta()) == timedelta()
