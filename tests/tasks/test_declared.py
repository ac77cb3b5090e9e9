"""Schedules declared in code are synchronised, and what people changed by hand stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from marshmallow import Schema, fields
from sqlalchemy import select

from tasks import catalog, declared, schedule_actions
from tasks.catalog import handles
from tasks.database import sessions
from tasks.declared import every, synchronise
from tasks.models import Schedule
from tasks.schedule_plan import Plan, TaskPlan

pytestmark = pytest.mark.usefixtures("sessions")


class Report(Schema):
    day = fields.String(load_default="today")


@pytest.fixture(autouse=True)
def _nothing_else_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "_declared", {})
    monkeypatch.setattr(catalog, "_kinds", dict(catalog.kinds()))


def declare(when: Any = "0 6 * * *", **terms: Any) -> Callable[..., None]:
    """What a module with one declared schedule does when it is imported, perhaps anew."""
    declared._declared.clear()
    catalog._kinds.pop("report.send", None)

    @every(when, **terms)
    @handles("report.send", Report, queue_name="reports")
    def send(day: str) -> None: ...

    return send


def stored() -> Schedule | None:
    with sessions.begin() as session:
        return session.scalar(select(Schedule).where(Schedule.name == "report.send"))


def test_a_declared_schedule_is_made_once() -> None:
    declare(
        "0 6 * * *", timezone="Europe/Paris", payload={"day": "monday"}, jitter=timedelta(minutes=1)
    )

    assert [synchronise(), synchronise()] == [1, 0]

    schedule = stored()
    assert (schedule.cron, schedule.timezone, schedule.jitter) == ("0 6 * * *", "Europe/Paris", 60)
    assert (schedule.task_name, schedule.queue_name) == ("report.send", "reports")
    assert schedule.payload == {"day": "monday"}
    assert schedule.next_fire_at is not None


def test_a_change_of_the_code_is_followed() -> None:
    declare("0 6 * * *")
    synchronise()

    declare("0 7 * * *", payload={"day": "friday"}, overlap="skip")

    assert synchronise() == 1
    assert (stored().cron, stored().overlap) == ("0 7 * * *", "skip")
    assert stored().payload == {"day": "friday"}


def test_cron_may_become_an_interval() -> None:
    declare("0 6 * * *")
    synchronise()

    declare(timedelta(minutes=5))
    synchronise()

    assert (stored().cron, stored().every) == (None, 300.0)


def test_a_field_changed_by_hand_stays_while_others_follow_the_code() -> None:
    declare("0 6 * * *", note="from code")
    synchronise()
    schedule_actions.change(stored().id, {"cron": "0 9 * * *"}, {"priority": "high"})

    declare("0 7 * * *", note="from newer code", priority="low", timeout=9)
    synchronise()

    assert (stored().cron, stored().priority) == ("0 9 * * *", "high")
    assert (stored().note, stored().timeout) == ("from newer code", 9.0)


def test_a_pause_by_hand_stays() -> None:
    declare("0 6 * * *")
    synchronise()
    schedule_actions.pause(stored().id, "on holiday")

    declare("0 7 * * *")
    synchronise()

    assert (stored().paused, stored().cron) == (True, "0 7 * * *")


def test_what_was_deleted_by_hand_stays_deleted() -> None:
    declare("0 6 * * *")
    synchronise()
    schedule_actions.remove(stored().id)

    declare("0 7 * * *")
    synchronise()

    assert stored() is None


def test_a_schedule_of_this_name_made_by_hand_is_left_alone() -> None:
    declare("0 6 * * *")
    schedule_actions.create(
        Plan(name="report.send", cron="0 1 * * *"), TaskPlan(name="report.send")
    )

    assert synchronise() == 0
    assert stored().cron == "0 1 * * *"


def test_a_handler_may_have_several_schedules_with_names() -> None:
    @every(3600, name="hourly report")
    @every("@daily", name="daily report")
    @handles("report.twice", Report)
    def send(day: str) -> None: ...

    assert synchronise() == 2


def test_it_does_not_matter_which_decorator_comes_first() -> None:
    @handles("report.below", Report)
    @every("@daily")
    def send(day: str) -> None: ...

    assert synchronise() == 1


def test_a_wrong_rule_is_refused_where_it_stands() -> None:
    with pytest.raises(ValueError, match="no month named in '0 0 31 2 \\*' has such a day"):
        every("0 0 31 2 *")
    with pytest.raises(ValueError, match="There is no time zone 'Mars'"):
        every("@daily", timezone="Mars")


def test_a_declaration_without_a_kind_or_with_a_name_twice_is_refused_at_start() -> None:
    @every("@daily")
    def nobody() -> None: ...

    with pytest.raises(ValueError, match="@every needs @handles beside it"):
        declared.resolve_all()

    declared._declared.clear()

    @every("@daily", name="report")
    @handles("report.first", Report)
    def first(day: str) -> None: ...

    @every("@daily", name="report")
    @handles("report.second", Report)
    def second(day: str) -> None: ...

    with pytest.raises(ValueError, match="Two declared schedules are called 'report'"):
        declared.resolve_all()
