"""A wrong or impossible rule is refused with a sentence."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks import objections
from tasks.recurrence import Rule

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "sentence"),
    [
        ("60 * * * *", "Wrong minute in the cron expression '60 * * * *'."),
        ("0 24 * * *", "Wrong hour in the cron expression '0 24 * * *'."),
        ("0 0 0 * *", "Wrong day of month in the cron expression '0 0 0 * *'."),
        ("0 0 * 13 *", "Wrong month in the cron expression '0 0 * 13 *'."),
        ("0 0 * * 8", "Wrong day of week in the cron expression '0 0 * * 8'."),
        ("61 0 0 * * *", "Wrong second in the cron expression '61 0 0 * * *'."),
        ("0 0 31 13 *", "Wrong month in the cron expression '0 0 31 13 *'."),
        ("0 0 31 2 *", "It would never fire: no month named in '0 0 31 2 *' has such a day."),
        (
            "0 0 31 4,6,9,11 *",
            "It would never fire: no month named in '0 0 31 4,6,9,11 *' has such a day.",
        ),
        (
            "@reboot",
            "Unknown nickname '@reboot'; known are @yearly, @annually, @monthly, @weekly, @daily, "
            "@midnight, @hourly.",
        ),
        (
            "* * * *",
            "A cron expression has five fields (minute, hour, day of month, month, day of week), "
            "or six with seconds first; '* * * *' has 4.",
        ),
        ("9" * 300 + " * * * *", "A cron expression has at most 200 characters."),
    ],
)
def test_a_wrong_expression_is_refused_with_a_sentence(cron: str, sentence: str) -> None:
    assert objections.to_rule(Rule(cron=cron)) == {"cron": [sentence]}


@pytest.mark.parametrize(
    "cron", ["*/5 * * * *", "0 0 29 2 *", "0 0 31 2 mon", "0 0 L * *", "@Daily", "* * * * * *"]
)
def test_a_possible_expression_is_not(cron: str) -> None:
    assert objections.to_rule(Rule(cron=cron)) == {}
    assert objections.to_future(Rule(cron=cron), NOW) == {}


@settings(deadline=None)
@given(
    st.text(max_size=210)
    | st.from_regex(r"[-0-9*/,LW#?A-Z]{1,8}( [-0-9*/,LW#?A-Z]{1,8}){4,5}", fullmatch=True)
)
@example("* * */29 2 MON#5")
def test_any_text_is_either_a_schedule_or_refused_with_a_sentence(cron: str) -> None:
    rule = Rule(cron=cron)

    found = objections.to_rule(rule) or objections.to_future(rule, NOW)

    assert not found or (list(found) == ["cron"] and found["cron"][0].endswith("."))


def test_an_expression_that_is_sound_field_by_field_may_still_never_fire() -> None:
    february_30 = Rule(cron="* * */29 2 MON#5")

    assert objections.to_rule(february_30) == {}
    assert objections.to_future(february_30, NOW) == {
        "cron": ["It would never fire: no day matches this expression."]
    }


def test_a_zone_must_exist_and_a_near_miss_is_pointed_out() -> None:
    assert objections.to_rule(Rule(cron="@daily", timezone="europe/Pariss")) == {
        "timezone": [
            "There is no time zone 'europe/Pariss'. Did you mean 'Europe/Paris'? "
            "Give an IANA name, such as 'Europe/Paris'."
        ]
    }


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "/etc/localtime", "Europe", "\x00", "é"])
def test_whatever_is_given_for_a_zone_gets_a_sentence(name: str) -> None:
    assert list(objections.to_rule(Rule(cron="@daily", timezone=name))) == ["timezone"]


def test_exactly_one_of_cron_every_and_at_is_given() -> None:
    both = objections.to_rule(Rule(cron="@daily", every=timedelta(hours=1)))

    assert both == {"every": ["Give one of cron, every and at; not cron and every."]}
    assert objections.to_rule(Rule()) == {
        "cron": ["Give one of cron, every and at; there is none of them."]
    }


def test_times_need_their_offset() -> None:
    naive = datetime(2026, 7, 1)  # noqa: DTZ001  # what is refused

    assert list(objections.to_rule(Rule(at=naive))) == ["at"]
    assert list(objections.to_rule(Rule(cron="@daily", starts_at=naive))) == ["starts_at"]


@pytest.mark.parametrize("every", [timedelta(), timedelta(seconds=0.5), timedelta(days=99999)])
def test_an_interval_has_bounds(every: timedelta) -> None:
    assert list(objections.to_rule(Rule(every=every))) == ["every"]


def test_it_must_end_after_it_starts_and_fire_in_between() -> None:
    assert objections.to_rule(Rule(cron="@daily", starts_at=NOW, ends_at=NOW)) == {
        "ends_at": ["It must be later than starts_at."]
    }
    assert objections.to_future(Rule(cron="@yearly", ends_at=NOW + timedelta(days=3)), NOW) == {
        "ends_at": ["It would never fire: there is no such time before ends_at."]
    }


def test_a_single_time_must_lie_in_the_future() -> None:
    assert objections.to_future(Rule(at=NOW - timedelta(days=1)), NOW) == {
        "at": ["It would never fire: 2026-05-31T00:00:00+00:00 is not in the future."]
    }
