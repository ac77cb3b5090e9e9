"""Schedules as clients meet them: each operation, and a sentence for each mistake."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from scheduler.fire_schedules import fire_schedules
from tests.api.guarded import Caller, make_key
from tests.rows import ago
from tests.schedule_rows import a_schedule, database_time, fires_of, tasks_of

PATH = "/api/v1/schedules"
NOBODY = "01982f6c-8d2a-7c4e-9a51-3d6f0b7c2e10"
DAILY = {
    "name": "morning report",
    "task": {"name": "example_task", "payload": {"message": "good morning"}},
    "cron": "30 2 * * *",
    "timezone": "Europe/Paris",
}


@pytest.fixture
def create(client: FlaskClient) -> Callable[..., dict[str, Any]]:
    def create(**fields: Any) -> dict[str, Any]:
        answer = client.post(f"{PATH}/", json=DAILY | fields)
        assert answer.status_code == 201, answer.json
        return answer.json

    return create


def problems(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 422, answer.json
    return answer.json["errors"]["json"]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class TestCreating:
    def test_the_answer_shows_all_of_it_with_its_defaults(self, client: FlaskClient) -> None:
        answer = client.post(f"{PATH}/", json=DAILY)

        assert answer.status_code == 201
        made = answer.json
        assert answer.headers["Location"] == f"{PATH}/{made['id']}"
        assert client.get(answer.headers["Location"]).json == made
        assert moment(made.pop("next_fire_at")) > moment(made.pop("created_at"))
        del made["id"], made["updated_at"]
        assert made == {
            "name": "morning report",
            "task": {
                "name": "example_task",
                "payload": {"message": "good morning"},
                "queue_name": "default",
                "priority": "normal",
                "labels": {},
                "max_retries": 3,
                "timeout": 300.0,
            },
            "cron": "30 2 * * *",
            "every": None,
            "at": None,
            "timezone": "Europe/Paris",
            "starts_at": None,
            "ends_at": None,
            "gap": "run_after",
            "jitter": 0.0,
            "overlap": "allow",
            "missed": "run_once",
            "catchup_window": 86400.0,
            "pause_after_failures": None,
            "paused": False,
            "pause_reason": None,
            "note": None,
            "last_fire_at": None,
        }

    def test_every_field_can_be_given_and_comes_back(self, create) -> None:
        given = {
            "task": {
                "name": "example_task",
                "payload": {"message": "x"},
                "queue_name": "mail",
                "priority": "high",
                "labels": {"customer": "acme"},
                "max_retries": 1,
                "timeout": 5.5,
            },
            "starts_at": "2030-01-01T00:00:00Z",
            "ends_at": "2040-01-01T00:00:00Z",
            "gap": "skip",
            "jitter": 30.0,
            "overlap": "queue_one",
            "missed": "run_all",
            "catchup_window": 3600.0,
            "pause_after_failures": 3,
            "paused": True,
            "pause_reason": "not yet",
            "note": "ask Ann",
        }

        made = create(**given)

        assert {name: made[name] for name in given} == given
        assert made["next_fire_at"] is None

    def test_null_means_left_out(self, create) -> None:
        nothing = dict.fromkeys(("every", "at", "jitter", "overlap", "missed", "gap", "note"))

        made = create(
            **nothing,
            paused=None,
            task={"name": "example_task", "payload": {"message": "x"}, "labels": None},
        )

        assert (made["jitter"], made["overlap"], made["paused"]) == (0.0, "allow", False)
        assert made["task"]["labels"] == {}

    def test_an_interval_and_a_single_time_are_schedules_too(self, create) -> None:
        every = create(name="every", cron=None, every=300)
        once = create(name="once", cron=None, at="2031-05-01T06:00:00+02:00")

        assert every["every"] == 300.0
        assert moment(every["next_fire_at"]).timestamp() % 300 == 0
        assert once["at"] == once["next_fire_at"] == "2031-05-01T04:00:00Z"

    def test_a_name_is_taken_once(self, client: FlaskClient, create) -> None:
        create()

        answer = client.post(f"{PATH}/", json=DAILY)

        assert answer.status_code == 409
        assert answer.json["message"] == "There is another schedule with this name."

    @pytest.mark.parametrize(
        ("fields", "field", "sentence"),
        [
            (
                {"cron": "0 0 31 2 *"},
                "cron",
                "It would never fire: no month named in '0 0 31 2 *' has such a day.",
            ),
            ({"cron": "61 * * * *"}, "cron", "Wrong minute in the cron expression '61 * * * *'."),
            (
                {"timezone": "Mars/Olympus"},
                "timezone",
                "There is no time zone 'Mars/Olympus'. Give an IANA name, such as 'Europe/Paris'.",
            ),
            (
                {"cron": None, "at": "2031-05-01T06:00:00"},
                "at",
                "Not an RFC 3339 time with an offset, such as 2030-01-31T12:00:00Z.",
            ),
            (
                {"starts_at": "2031-05-01T06:00:00"},
                "starts_at",
                "Not an RFC 3339 time with an offset, such as 2030-01-31T12:00:00Z.",
            ),
            (
                {"cron": None, "at": "2020-01-01T00:00:00Z"},
                "at",
                "It would never fire: 2020-01-01T00:00:00+00:00 is not in the future.",
            ),
            (
                {"cron": None},
                "cron",
                "Give one of cron, every and at; there is none of them.",
            ),
            ({"every": 60}, "every", "Give one of cron, every and at; not cron and every."),
            (
                {"ends_at": "2020-01-01T00:00:00Z"},
                "ends_at",
                "It would never fire: there is no such time before ends_at.",
            ),
            (
                {"overlap": "maybe"},
                "overlap",
                "Must be one of: allow, skip, queue_one, cancel_running.",
            ),
            ({"paused": "yes"}, "paused", "Not a valid boolean."),
            ({"colour": "red"}, "colour", "Unknown field."),
        ],
    )
    def test_a_mistake_gets_a_sentence(
        self, client: FlaskClient, fields: dict, field: str, sentence: str
    ) -> None:
        answer = client.post(f"{PATH}/", json=DAILY | fields)

        assert problems(answer) == {field: [sentence]}

    def test_the_task_is_checked_when_the_schedule_is_made(self, client: FlaskClient) -> None:
        unknown = client.post(f"{PATH}/", json=DAILY | {"task": {"name": "sing"}})
        wrong = client.post(
            f"{PATH}/", json=DAILY | {"task": {"name": "example_task", "payload": {"seconds": 1}}}
        )

        assert problems(unknown)["task"]["name"][0].startswith("Unknown kind of task 'sing'.")
        assert problems(wrong) == {
            "task": {"payload": {"message": ["Missing data for required field."]}}
        }


class TestLooking:
    def test_a_list_is_paged_and_filtered(self, client: FlaskClient, create) -> None:
        made = [create(name=f"schedule {number}", paused=number == 1)["id"] for number in range(5)]

        first = client.get(f"{PATH}/?limit=2").json
        rest = client.get(f"{PATH}/?limit=200&cursor={first['next_cursor']}").json

        assert [each["id"] for each in first["items"] + rest["items"]] == made[::-1]
        assert rest["next_cursor"] is None
        paused = client.get(f"{PATH}/?paused=true").json["items"]
        named = client.get(f"{PATH}/", query_string={"name": "schedule 3"}).json["items"]
        assert [each["id"] for each in paused + named] == [made[1], made[3]]

    def test_the_next_ticks_are_shown_across_a_change_of_the_clocks(self, client, create) -> None:
        made = create(starts_at="2027-03-27T00:00:00Z")

        answer = client.get(f"{PATH}/{made['id']}/upcoming?count=3")

        assert answer.json == {
            "items": [
                {
                    "scheduled_for": "2027-03-27T01:30:00Z",
                    "local": "2027-03-27T02:30:00+01:00",
                    "note": None,
                },
                {
                    "scheduled_for": "2027-03-28T01:00:00Z",
                    "local": "2027-03-28T03:00:00+02:00",
                    "note": "gap: 02:30:00 does not exist on this day; right after the gap",
                },
                {
                    "scheduled_for": "2027-03-29T00:30:00Z",
                    "local": "2027-03-29T02:30:00+02:00",
                    "note": None,
                },
            ]
        }

    def test_five_ticks_are_shown_if_nobody_says_how_many(self, client, create) -> None:
        made = create(starts_at="2027-10-30T12:00:00Z")

        items = client.get(f"{PATH}/{made['id']}/upcoming").json["items"]

        assert len(items) == 5
        assert items[0]["local"] == "2027-10-31T02:30:00+02:00"
        assert items[0]["note"] == "fold: 02:30:00 exists twice on this day; the first"

    def test_what_became_of_ticks_is_paged_latest_first(self, client: FlaskClient) -> None:
        schedule = a_schedule(every=600.0, decided_until=ago(hours=1), missed="skip")
        fire_schedules()
        ticks = [fire.scheduled_for for fire in fires_of(schedule.id)]

        first = client.get(f"{PATH}/{schedule.id}/fires?limit=4").json
        cursor = first["next_cursor"]
        rest = client.get(f"{PATH}/{schedule.id}/fires?limit=4&cursor={cursor}").json

        found = [moment(each["scheduled_for"]) for each in first["items"] + rest["items"]]
        assert found == ticks[::-1]
        assert rest["next_cursor"] is None
        assert first["items"][0].keys() == {
            "scheduled_for", "fired_at", "outcome", "reason", "task_id",
        }  # fmt: skip
        assert rest["items"][-1]["outcome"] == "skipped_missed"

    def test_a_tick_leads_to_its_task_and_back(self, client: FlaskClient) -> None:
        schedule = a_schedule()
        fire_schedules()

        fire = client.get(f"{PATH}/{schedule.id}/fires").json["items"][0]
        task = client.get(f"/api/v1/tasks/{fire['task_id']}").json

        assert task["schedule_id"] == str(schedule.id)

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "", None),
            ("PATCH", "", {}),
            ("DELETE", "", None),
            ("POST", "/pause", {}),
            ("POST", "/resume", None),
            ("POST", "/run", None),
            ("POST", "/backfill", {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}),
            ("GET", "/upcoming", None),
            ("GET", "/fires", None),
        ],
    )
    def test_what_is_not_there_is_not_found(self, client, method, path, body) -> None:
        answer = client.open(f"{PATH}/{NOBODY}{path}", method=method, json=body)

        assert answer.status_code == 404
        assert answer.json["message"] == "There is no schedule with this id."

    @pytest.mark.parametrize(
        "query", ["upcoming?count=0", "upcoming?count=101", "fires?limit=0", "fires?cursor=x"]
    )
    def test_a_wrong_question_is_refused(self, client: FlaskClient, query: str) -> None:
        schedule = a_schedule()

        assert client.get(f"{PATH}/{schedule.id}/{query}").status_code == 422


class TestChanging:
    def test_another_rule_takes_effect_from_now_on(self, client: FlaskClient) -> None:
        schedule = a_schedule(decided_until=ago(hours=1))

        answer = client.patch(f"{PATH}/{schedule.id}", json={"cron": "0 7 * * *"})

        assert answer.status_code == 200
        assert answer.json["cron"] == "0 7 * * *"
        assert moment(answer.json["next_fire_at"]) > database_time()
        assert fire_schedules() == 0
        assert fires_of(schedule.id) == []

    def test_other_fields_leave_the_next_tick_where_it_is(self, client: FlaskClient) -> None:
        schedule = a_schedule(decided_until=ago(hours=1))
        changes = {"note": "ask Ben", "overlap": "skip", "task": {"priority": "low"}}

        answer = client.patch(f"{PATH}/{schedule.id}", json=changes)

        assert moment(answer.json["next_fire_at"]) == schedule.next_fire_at
        assert (answer.json["note"], answer.json["overlap"]) == ("ask Ben", "skip")
        assert answer.json["task"]["priority"] == "low"
        assert moment(answer.json["updated_at"]) > schedule.updated_at

    def test_one_kind_of_rule_replaces_another(self, client: FlaskClient, create) -> None:
        made = create()

        answer = client.patch(f"{PATH}/{made['id']}", json={"every": 60})

        assert (answer.json["cron"], answer.json["every"]) == (None, 60.0)

    def test_null_takes_a_field_back(self, client: FlaskClient, create) -> None:
        made = create(
            ends_at="2040-01-01T00:00:00Z",
            overlap="skip",
            task=DAILY["task"] | {"queue_name": "mail", "labels": {"a": "b"}},
        )

        changes = {"ends_at": None, "overlap": None, "task": {"queue_name": None, "labels": None}}
        changed = client.patch(f"{PATH}/{made['id']}", json=changes).json

        assert (changed["ends_at"], changed["overlap"]) == (None, "allow")
        assert (changed["task"]["queue_name"], changed["task"]["labels"]) == ("default", {})

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"cron": "0 0 30 2 *"}, "cron"),
            ({"cron": None}, "cron"),
            ({"timezone": "Nowhere"}, "timezone"),
            ({"at": "2001-01-01T00:00:00Z"}, "at"),
            ({"task": {"payload": {"seconds": "long"}}}, "task"),
            ({"task": {"name": "sing"}}, "task"),
            ({"id": NOBODY}, "id"),
        ],
    )
    def test_a_wrong_change_changes_nothing(self, client, create, changes, field) -> None:
        made = create()

        assert list(problems(client.patch(f"{PATH}/{made['id']}", json=changes))) == [field]

        assert client.get(f"{PATH}/{made['id']}").json == made

    def test_another_name_must_be_free(self, client: FlaskClient, create) -> None:
        create(name="taken")
        made = create(name="mine")

        answer = client.patch(f"{PATH}/{made['id']}", json={"name": "taken"})

        assert answer.status_code == 409

    def test_a_schedule_whose_time_is_over_can_still_be_annotated(self, client) -> None:
        schedule = a_schedule(at=ago(days=1), decided_until=ago(hours=1), next_fire_at=None)

        answer = client.patch(f"{PATH}/{schedule.id}", json={"note": "done"})

        assert answer.status_code == 200
        assert answer.json["next_fire_at"] is None

    def test_what_is_deleted_is_gone_but_its_tasks_stay(self, client: FlaskClient) -> None:
        schedule = a_schedule()
        fire_schedules()

        assert client.delete(f"{PATH}/{schedule.id}").status_code == 204

        assert client.get(f"{PATH}/{schedule.id}").status_code == 404
        assert fires_of(schedule.id) == []
        assert len(tasks_of(schedule.id)) == 1


class TestPausing:
    def test_a_paused_schedule_fires_nothing_and_says_why(self, client: FlaskClient) -> None:
        schedule = a_schedule()

        answer = client.post(f"{PATH}/{schedule.id}/pause", json={"reason": "moving house"})

        assert answer.status_code == 200
        assert (answer.json["paused"], answer.json["pause_reason"]) == (True, "moving house")
        assert answer.json["next_fire_at"] is None
        assert fire_schedules() == 0

    def test_after_it_is_resumed_it_fires_from_then_on(self, client: FlaskClient) -> None:
        schedule = a_schedule(decided_until=ago(hours=2), paused=True, pause_reason="x")

        answer = client.post(f"{PATH}/{schedule.id}/resume")

        assert (answer.json["paused"], answer.json["pause_reason"]) == (False, None)
        assert moment(answer.json["next_fire_at"]) > database_time() - timedelta(seconds=5)
        assert fires_of(schedule.id) == []

    def test_resuming_what_is_not_paused_loses_no_tick(self, client: FlaskClient) -> None:
        schedule = a_schedule()

        answer = client.post(f"{PATH}/{schedule.id}/resume")

        assert moment(answer.json["next_fire_at"]) == schedule.next_fire_at

    def test_both_can_be_done_by_a_change(self, client: FlaskClient, create) -> None:
        made = create()

        paused = client.patch(f"{PATH}/{made['id']}", json={"paused": True, "pause_reason": "x"})
        resumed = client.patch(f"{PATH}/{made['id']}", json={"paused": False})

        assert (paused.json["next_fire_at"], paused.json["pause_reason"]) == (None, "x")
        assert resumed.json["next_fire_at"] == made["next_fire_at"]
        assert resumed.json["pause_reason"] is None


class TestRunning:
    @pytest.mark.parametrize("paused", [False, True])
    def test_it_can_be_run_now(self, client: FlaskClient, paused: bool) -> None:
        schedule = a_schedule(due=False, paused=paused, queue_name="mail", payload={"message": "x"})

        answer = client.post(f"{PATH}/{schedule.id}/run")

        assert answer.status_code == 201
        task = client.get(answer.headers["Location"]).json
        assert task == answer.json
        assert (task["status"], task["queue_name"]) == ("pending", "mail")
        assert task["schedule_id"] == str(schedule.id)
        (fire,) = fires_of(schedule.id)
        assert (fire.outcome, fire.reason) == ("fired", "run by hand")
        again = client.get(f"{PATH}/{schedule.id}").json
        assert again["last_fire_at"] == task["created_at"]
        assert again["paused"] is paused

    def test_each_run_is_one_of_its_own(self, client: FlaskClient) -> None:
        schedule = a_schedule(due=False)

        ids = {client.post(f"{PATH}/{schedule.id}/run").json["id"] for _ in range(5)}

        assert len(ids) == len(tasks_of(schedule.id)) == 5


class TestBackfilling:
    DAY = {"from": "2026-03-28T12:00:00+00:00", "to": "2026-04-01T00:00:00Z"}  # noqa: RUF012

    def test_a_dry_run_tells_what_would_run(self, client: FlaskClient, create) -> None:
        made = create()

        answer = client.post(f"{PATH}/{made['id']}/backfill", json=self.DAY | {"dry_run": True})

        assert answer.status_code == 200
        backfill = answer.json.pop("backfill")
        assert answer.json | {"backfill": None} == made | {"backfill": None}
        assert (backfill["dry_run"], backfill["count"]) == (True, 3)
        assert [item["local"] for item in backfill["items"]] == [
            "2026-03-29T03:00:00+02:00",
            "2026-03-30T02:30:00+02:00",
            "2026-03-31T02:30:00+02:00",
        ]
        assert tasks_of(made["id"]) == []

    def test_ticks_of_the_past_run_once(self, client: FlaskClient, create) -> None:
        made = create(overlap="skip")

        first = client.post(f"{PATH}/{made['id']}/backfill", json=self.DAY).json["backfill"]
        second = client.post(f"{PATH}/{made['id']}/backfill", json=self.DAY).json["backfill"]

        assert (first["count"], second["count"]) == (3, 0)
        assert [task.scheduled_for for task in tasks_of(made["id"])] == [
            moment(item["scheduled_for"]) for item in first["items"]
        ]
        assert {fire.reason for fire in fires_of(made["id"])} == {"backfill"}

    def test_ticks_that_were_skipped_are_run(self, client: FlaskClient) -> None:
        schedule = a_schedule(every=600.0, decided_until=ago(hours=1), missed="skip")
        fire_schedules()
        skipped = [each for each in fires_of(schedule.id) if each.task_id is None]

        span = {"from": ago(hours=1).isoformat(), "to": ago().isoformat()}
        answer = client.post(f"{PATH}/{schedule.id}/backfill", json=span)

        assert answer.json["backfill"]["count"] == len(skipped) >= 5
        assert {fire.outcome for fire in fires_of(schedule.id)} == {"fired"}
        assert fire_schedules() == 0

    @pytest.mark.parametrize(
        ("span", "sentence"),
        [
            (
                {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"},
                "That is more than 1000 ticks; the first 1000 lie before 2026-01-01T16:40:00Z.",
            ),
            (
                {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
                "It must be later than from.",
            ),
            (
                {"from": "2026-01-01T00:00:00Z", "to": "2090-01-01T00:00:00Z"},
                "It must not lie in the future.",
            ),
        ],
    )
    def test_it_has_limits(self, client: FlaskClient, span: dict, sentence: str) -> None:
        schedule = a_schedule(due=False)

        answer = client.post(f"{PATH}/{schedule.id}/backfill", json=span)

        assert problems(answer) == {"to": [sentence]}

    def test_times_without_an_offset_are_refused(self, client: FlaskClient) -> None:
        schedule = a_schedule(due=False)
        span = {"from": "2026-01-01T00:00:00", "to": "2026-01-01T01:00:00"}

        answer = client.post(f"{PATH}/{schedule.id}/backfill", json=span)

        assert problems(answer).keys() == {"from", "to"}


class TestBehindTheGate:
    def test_reading_needs_one_scope_and_changing_another(self, guarded: Flask) -> None:
        reader = Caller(guarded.test_client(), make_key("tasks:read"))
        manager = Caller(guarded.test_client(), make_key("schedules:manage"))

        made = manager.post(f"{PATH}/", json=DAILY)

        assert made.status_code == 201
        assert reader.post(f"{PATH}/", json=DAILY).status_code == 403
        assert reader.get(made.headers["Location"]).status_code == 200
        assert manager.get(made.headers["Location"]).status_code == 403

    def test_payloads_need_a_scope_of_their_own(self, guarded: Flask) -> None:
        schedule = a_schedule(payload={"message": "hush"})

        for scopes, payload in (
            (["tasks:read"], None),
            (["tasks:read", "payloads:read"], {"message": "hush"}),
        ):
            caller = Caller(guarded.test_client(), make_key(*scopes))
            assert caller.get(f"{PATH}/{schedule.id}").json["task"]["payload"] == payload

    def test_a_key_bound_to_queues_knows_of_no_others(self, guarded: Flask) -> None:
        ours, theirs = a_schedule(queue_name="mail"), a_schedule(queue_name="bills")
        scopes = ("tasks:read", "schedules:manage")
        bound = Caller(guarded.test_client(), make_key(*scopes, queues=["mail"]))
        elsewhere = DAILY | {"task": DAILY["task"] | {"queue_name": "bills"}}

        items = bound.get(f"{PATH}/").json["items"]

        assert [each["id"] for each in items] == [str(ours.id)]
        assert bound.get(f"{PATH}/{theirs.id}").status_code == 404
        assert bound.post(f"{PATH}/{theirs.id}/run").status_code == 404
        assert bound.post(f"{PATH}/", json=DAILY).status_code == 403
        assert bound.post(f"{PATH}/", json=elsewhere).status_code == 403
        moved = bound.ask("PATCH", f"{PATH}/{ours.id}", json={"task": {"queue_name": "bills"}})
        back = bound.ask("PATCH", f"{PATH}/{ours.id}", json={"task": {"queue_name": None}})
        assert (moved.status_code, back.status_code) == (403, 403)


def test_every_act_is_in_the_audit(client: FlaskClient, create) -> None:
    made = create()
    client.patch(f"{PATH}/{made['id']}", json={"note": "x", "task": {"priority": "low"}})
    client.post(f"{PATH}/{made['id']}/pause", json={"reason": "because"})
    client.post(f"{PATH}/{made['id']}/resume")
    client.post(f"{PATH}/{made['id']}/run")
    client.post(f"{PATH}/{made['id']}/backfill", json=TestBackfilling.DAY)
    client.delete(f"{PATH}/{made['id']}")

    entries = client.get(f"/api/v1/audit/?subject={made['id']}").json["items"][::-1]

    assert [entry["action"].removeprefix("schedule.") for entry in entries] == [
        "create", "change", "pause", "resume", "run", "backfill", "delete",
    ]  # fmt: skip
    assert entries[1]["details"] == {"name": "morning report", "fields": ["note", "task.priority"]}


def test_only_a_century_is_searched_for_ticks(client: FlaskClient) -> None:
    schedule = a_schedule(due=False, cron="0 0 * 2 mon#5")  # a Monday, the 29th of February

    answer = client.get(f"{PATH}/{schedule.id}/upcoming?count=100")

    assert answer.status_code == 200
    assert [item["local"][:4] for item in answer.json["items"]] == ["2044", "2072", "2112"]
