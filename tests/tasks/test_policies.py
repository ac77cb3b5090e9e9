"""Every tick that is due gets one verdict, and no tick gets none."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import policies, recurrence
from tasks.policies import FireOutcome, Missed, Overlap, Standing, Verdict
from tasks.recurrence import Gap, Rule

NOW = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
MINUTELY = Rule(cron="* * * * *")
HOUR = timedelta(hours=1)
TICKS = [Verdict(NOW + timedelta(minutes=number)) for number in range(3)]
BUSY = UUID(int=9)
FIRED, MISSED = FireOutcome.FIRED, FireOutcome.SKIPPED_MISSED


def standing(rule: Rule = MINUTELY, since: timedelta = timedelta(minutes=1), **more) -> Standing:
    return Standing(id=UUID(int=1), rule=rule, decided_until=NOW - since, **more)


def outcomes(verdicts: Sequence[Verdict]) -> list[FireOutcome]:
    return [verdict.outcome for verdict in verdicts]


def test_a_tick_that_is_due_fires_and_the_next_one_is_known() -> None:
    decision = policies.decide(standing(since=timedelta(seconds=40)), NOW)

    assert decision.verdicts == [Verdict(NOW - timedelta(seconds=30))]
    assert decision.decided_until == NOW - timedelta(seconds=30)
    assert decision.next_fire_at == NOW + timedelta(seconds=30)


@pytest.mark.parametrize("missed", Missed)
def test_a_tick_that_is_a_little_late_fires_under_every_policy(missed: Missed) -> None:
    secondly = Rule(cron="* * * * * *")

    decision = policies.decide(standing(secondly, timedelta(seconds=14.5), missed=missed), NOW)

    assert outcomes(decision.verdicts) == [FIRED] * 15


def test_run_all_runs_every_missed_tick() -> None:
    decision = policies.decide(standing(since=HOUR, missed=Missed.RUN_ALL), NOW)

    assert outcomes(decision.verdicts) == [FIRED] * 60


def test_run_once_runs_the_latest_of_those_that_were_missed() -> None:
    decision = policies.decide(standing(since=HOUR, missed=Missed.RUN_ONCE), NOW)

    assert outcomes(decision.verdicts) == [MISSED] * 59 + [FIRED]
    assert decision.verdicts[0].reason == (
        "missed by 3570 seconds; a later tick runs for all that were missed"
    )


def test_run_once_runs_nothing_for_the_missed_when_another_tick_is_on_time() -> None:
    on_time = NOW - timedelta(seconds=20)

    decision = policies.decide(standing(since=HOUR, missed=Missed.RUN_ONCE), on_time)

    assert outcomes(decision.verdicts) == [MISSED] * 59 + [FIRED]
    assert decision.verdicts[-1].at == on_time - timedelta(seconds=10)


def test_skip_skips_what_was_missed() -> None:
    decision = policies.decide(standing(since=HOUR, missed=Missed.SKIP), NOW)

    assert outcomes(decision.verdicts) == [MISSED] * 60
    assert decision.verdicts[-1].reason == "missed by 30 seconds; missed ticks are skipped"
    assert decision.next_fire_at == NOW + timedelta(seconds=30)


@pytest.mark.parametrize("missed", Missed)
def test_what_lies_before_the_window_is_one_entry_however_much_it_is(missed: Missed) -> None:
    secondly = Rule(cron="* * * * * *")
    stands = standing(
        secondly, timedelta(days=365), missed=missed, catchup_window=timedelta(seconds=60)
    )

    decision = policies.decide(stands, NOW)

    assert outcomes(decision.verdicts[:1]) == [MISSED]
    assert decision.verdicts[0].at == NOW - timedelta(days=365) + timedelta(seconds=1)
    assert decision.verdicts[0].reason == (
        "missed, as every tick before 2026-06-01T11:59:30Z: the catch-up window is 60 seconds"
    )
    assert len(decision.verdicts) == 1 + 61
    assert decision.next_fire_at == NOW + timedelta(seconds=1)


@pytest.mark.parametrize("missed", Missed)
@pytest.mark.parametrize("limit", [1, 7, 59, 60, 61])
def test_deciding_in_rounds_is_the_same_as_deciding_at_once(missed: Missed, limit: int) -> None:
    at_once = policies.decide(standing(since=HOUR, missed=missed), NOW)

    verdicts, stands = [], standing(since=HOUR, missed=missed)
    while (decision := policies.decide(stands, NOW, limit)).next_fire_at <= NOW:
        verdicts += decision.verdicts
        stands = standing(since=NOW - decision.decided_until, missed=missed)
    verdicts += decision.verdicts

    assert verdicts == at_once.verdicts
    assert decision.next_fire_at == at_once.next_fire_at


def test_a_skipped_gap_is_recorded_with_the_tick_after_it() -> None:
    rule = Rule(cron="30 2 * * *", timezone="Europe/Paris", gap=Gap.SKIP)
    monday = datetime(2026, 3, 30, 0, 30, tzinfo=UTC)
    stands = Standing(id=UUID(int=1), rule=rule, decided_until=monday - timedelta(days=1.9))

    assert policies.next_fire_at(stands) == monday
    assert policies.decide(stands, monday).verdicts == [
        Verdict(
            datetime(2026, 3, 29, 1, tzinfo=UTC),
            FireOutcome.SKIPPED_GAP,
            "02:30:00 does not exist on this day in Europe/Paris",
        ),
        Verdict(monday),
    ]


def test_a_schedule_that_has_ended_has_no_next_fire() -> None:
    decision = policies.decide(standing(Rule(at=NOW - timedelta(seconds=5))), NOW)

    assert outcomes(decision.verdicts) == [FIRED]
    assert decision.next_fire_at is None


def test_jitter_delays_a_tick_but_not_what_it_is_scheduled_for() -> None:
    stands = standing(Rule(cron="0 * * * *"), timedelta(minutes=1), jitter=timedelta(minutes=10))
    tick = datetime(2026, 6, 1, 12, tzinfo=UTC)
    due = tick + recurrence.jitter(stands.id, tick, stands.jitter)

    assert policies.next_fire_at(stands) == due > tick
    assert policies.decide(stands, due - timedelta(seconds=1)).verdicts == []
    assert policies.decide(stands, due).verdicts == [Verdict(tick)]


@settings(deadline=None)
@given(
    rule=st.sampled_from(
        [
            MINUTELY,
            Rule(cron="*/7 * * * * *"),
            Rule(every=timedelta(seconds=11)),
            Rule(cron="30 2 * * *", timezone="Europe/Paris", gap=Gap.SKIP),
        ]
    ),
    missed=st.sampled_from(Missed),
    pauses=st.lists(st.integers(1, 5000), min_size=1, max_size=12),
    limit=st.integers(1, 50),
)
def test_whenever_a_scheduler_looks_each_tick_is_decided_once(
    rule: Rule, missed: Missed, pauses: list[int], limit: int
) -> None:
    begin = now = decided_until = datetime(2026, 3, 28, 23, 59, tzinfo=UTC)
    decided: list[datetime] = []

    for pause in pauses:
        now += timedelta(seconds=pause)
        next_fire_at = None
        while next_fire_at is None or next_fire_at <= now:
            stands = Standing(id=UUID(int=1), rule=rule, decided_until=decided_until, missed=missed)
            decision = policies.decide(stands, now, limit)
            decided += [verdict.at for verdict in decision.verdicts]
            decided_until, next_fire_at = decision.decided_until, decision.next_fire_at

    expected = [tick.at for tick in recurrence.between(rule, begin, decided_until)]
    assert [at for at in decided if at < decided_until] == [at for at in expected if at > begin]
    assert all(earlier < later for earlier, later in pairwise(decided))


class TestOverlap:
    @pytest.mark.parametrize(
        ("overlap", "expected"),
        [
            (Overlap.ALLOW, "fired fired fired"),
            (Overlap.SKIP, "fired skipped_overlap skipped_overlap"),
            (Overlap.QUEUE_ONE, "fired waiting skipped_overlap"),
            (Overlap.CANCEL_RUNNING, "skipped_overlap skipped_overlap fired"),
        ],
    )
    def test_three_ticks_with_nothing_running(self, overlap: Overlap, expected: str) -> None:
        verdicts = policies.without_overlap(TICKS, overlap, None, waiting=False)

        assert " ".join(outcomes(verdicts)) == expected

    @pytest.mark.parametrize(
        ("overlap", "waiting", "expected"),
        [
            (Overlap.ALLOW, False, "fired fired fired"),
            (Overlap.SKIP, False, "skipped_overlap skipped_overlap skipped_overlap"),
            (Overlap.QUEUE_ONE, False, "waiting skipped_overlap skipped_overlap"),
            (Overlap.QUEUE_ONE, True, "skipped_overlap skipped_overlap skipped_overlap"),
            (Overlap.CANCEL_RUNNING, False, "skipped_overlap skipped_overlap fired"),
        ],
    )
    def test_three_ticks_while_a_task_is_running(
        self, overlap: Overlap, waiting: bool, expected: str
    ) -> None:
        verdicts = policies.without_overlap(TICKS, overlap, BUSY, waiting)

        assert " ".join(outcomes(verdicts)) == expected
        assert all(verdict.reason for verdict in verdicts if verdict.outcome is not FIRED)

    @pytest.mark.parametrize("overlap", Overlap)
    def test_what_is_skipped_anyway_stays_as_it_is(self, overlap: Overlap) -> None:
        missed = [Verdict(NOW, MISSED, "missed")]

        assert policies.without_overlap(missed, overlap, BUSY, waiting=False) == missed
