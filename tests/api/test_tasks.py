"""Tasks over HTTP: submitted, found, listed, cancelled and run again."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient

from tasks import store
from tasks.broker import Broker
from tasks.lifecycle import Outcome, Priority, Status
from tests.rows import ERROR, ago

TASKS = "/api/v1/tasks/"
HELLO = {"name": "example_task", "payload": {"message": "hello"}}


def test_a_submitted_task_is_stored_and_can_be_looked_at_where_the_answer_says(
    client: FlaskClient,
) -> None:
    answer = client.post(TASKS, json=HELLO)

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/tasks/{answer.json['id']}"
    assert client.get(answer.headers["Location"]).json == answer.json


def test_a_task_takes_what_its_kind_and_the_service_say_where_the_client_says_nothing(
    client: FlaskClient,
) -> None:
    task = client.post(TASKS, json=HELLO).json

    assert UUID(task.pop("id")).version == 7
    assert task.pop("created_at") == task.pop("updated_at")
    assert task == {
        "name": "example_task",
        "payload": {"message": "hello"},
        "queue_name": "default",
        "priority": "normal",
        "status": "pending",
        "result": None,
        "error": None,
        "attempts": 0,
        "max_retries": 3,
        "timeout": 300,
        "run_at": None,
        "expires_at": None,
        "labels": {},
        "progress": None,
        "worker": None,
        "schedule_id": None,
        "started_at": None,
        "finished_at": None,
    }


def test_a_task_reads_the_same_when_it_is_submitted_and_later(client: FlaskClient) -> None:
    made = client.post("/api/v1/tasks/", json={"name": "example_task", "payload": {"message": "x"}})

    later = client.get(made.headers["Location"])

    assert made.data == later.data


def test_a_task_takes_what_the_client_says(client: FlaskClient, broker: Broker) -> None:
    said = {
        "queue_name": "mail",
        "priority": "critical",
        "max_retries": 0,
        "timeout": 1.5,
        "expires_at": "2100-01-01T02:00:00+02:00",
        "labels": {"customer": "acme"},
    }
    task = client.post(TASKS, json=HELLO | said).json

    assert {name: task[name] for name in said} == said | {"expires_at": "2100-01-01T00:00:00Z"}
    assert broker.head("mail:critical", 9) == [task["id"]]


def test_null_means_the_same_as_leaving_a_field_out(client: FlaskClient) -> None:
    optional = ("queue_name", "priority", "run_at", "delay", "max_retries", "timeout", "expires_at")
    nothing = dict.fromkeys((*optional, "labels"))

    spelled, short = (client.post(TASKS, json=HELLO | more).json for more in (nothing, {}))

    own = ("id", "created_at", "updated_at")
    assert {k: v for k, v in spelled.items() if k not in own} == {
        k: v for k, v in short.items() if k not in own
    }


def test_a_delayed_task_is_scheduled_by_the_databases_clock(
    client: FlaskClient, broker: Broker
) -> None:
    task = client.post(TASKS, json=HELLO | {"delay": 60}).json

    wait = datetime.fromisoformat(task["run_at"]) - datetime.fromisoformat(task["created_at"])
    assert task["status"] == "scheduled"
    assert wait == timedelta(seconds=60)
    assert broker.queues() == []


@pytest.mark.parametrize(
    ("run_at", "status"),
    [("2100-01-01T00:00:00Z", "scheduled"), ("2020-01-01T00:00:00Z", "pending")],
)
def test_a_task_waits_for_its_time_unless_that_has_passed(
    client: FlaskClient, run_at: str, status: str
) -> None:
    task = client.post(TASKS, json=HELLO | {"run_at": run_at}).json

    assert task["status"] == status
    assert task["run_at"] == (run_at if status == "scheduled" else None)


def test_everything_wrong_with_a_submission_is_said_at_once(client: FlaskClient) -> None:
    answer = client.post(
        TASKS,
        json={
            "name": "example_task",
            "payload": {"message": 7, "colour": "red"},
            "queue_name": "a queue",
            "priority": "urgent",
            "run_at": "tomorrow",
            "delay": "soon",
            "timeout": 0,
            "max_retries": 1.5,
            "labels": {"a:b": "c", "d": 1},
            "sing": True,
        },
    )

    assert answer.status_code == 422
    assert answer.json["message"] == "The task is not valid."
    assert answer.json["errors"]["json"].keys() == {
        "payload",
        "queue_name",
        "priority",
        "run_at",
        "delay",
        "timeout",
        "max_retries",
        "labels",
        "sing",
    }
    assert answer.json["errors"]["json"]["payload"] == {
        "message": ["Not a valid string."],
        "colour": ["Unknown field."],
    }
    assert client.get(TASKS).json["items"] == []


def test_an_unknown_kind_is_refused_with_the_known_ones(client: FlaskClient) -> None:
    answer = client.post(TASKS, json={"name": "sing"})

    assert answer.status_code == 422
    (message,) = answer.json["errors"]["json"]["name"]
    assert "example_task" in message and "'sing'" in message


@pytest.mark.parametrize(
    ("times", "field", "says"),
    [
        ({"run_at": "2100-01-01T00:00:00Z", "delay": 5}, "delay", "not both"),
        (
            {"run_at": "2100-01-01T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z"},
            "expires_at",
            "later than run_at",
        ),
        ({"run_at": "9999-12-31T23:59:59-12:00"}, "run_at", "between the years"),
        ({"expires_at": "0001-01-01T00:00:00+12:00"}, "expires_at", "between the years"),
        ({"run_at": "2030-01-01T00:00:00"}, "run_at", "offset"),
        ({"run_at": 1893456000}, "run_at", "RFC 3339"),
    ],
)
def test_times_that_make_no_sense_are_refused(
    client: FlaskClient, times: dict[str, Any], field: str, says: str
) -> None:
    answer = client.post(TASKS, json=HELLO | times)

    assert answer.status_code == 422
    assert says in answer.json["errors"]["json"][field][0]


def test_a_payload_may_be_as_large_as_the_setting_and_no_larger(client: FlaskClient) -> None:
    answer = client.post(
        TASKS,
        json={
            "name": "http.request",
            "payload": {"url": "https://example.com", "body": "x" * 262_144},
        },
    )

    assert answer.status_code == 422
    assert "Larger than 262144 bytes" in answer.json["errors"]["json"]["payload"][0]


def test_a_task_tells_everything_the_record_knows(client: FlaskClient, a_task: Any) -> None:
    task = a_task(
        Status.FAILED,
        attempt=2,
        priority=Priority.LOW,
        labels={"a": "b"},
        progress={"done": 1.0, "total": 2.0, "message": "half"},
    )

    told = client.get(f"{TASKS}{task.id}").json

    assert told["status"] == "failed"
    assert told["attempts"] == 2
    assert told["error"] == ERROR
    assert told["worker"] == "worker-1"
    assert told["progress"] == {"done": 1.0, "total": 2.0, "message": "half"}
    assert told["finished_at"] == task.finished_at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    "result", [None, 0, "text", [1, {"a": None}], 2**70, 1.5, {"big": -(2**64), "é": "ü"}]
)
def test_a_result_is_any_json_whatever_its_size(
    client: FlaskClient, a_task: Any, result: object
) -> None:
    task = a_task(Status.SUCCEEDED, result=result)

    answer = client.get(f"{TASKS}{task.id}")

    assert answer.json["result"] == result
    assert answer.json["finished_at"].endswith("Z")


@pytest.mark.parametrize("path", ["", "/attempts", "/history"])
def test_a_task_that_does_not_exist_is_not_found(client: FlaskClient, path: str) -> None:
    answer = client.get(f"{TASKS}{uuid4()}{path}")

    assert answer.status_code == 404
    assert answer.json["message"] == "There is no task with this id."


@pytest.mark.parametrize("id", ["x", "1", "0" * 36, "%00", f"{UUID(int=0)}x", "../health"])
def test_an_id_that_is_none_is_not_found(client: FlaskClient, id: str) -> None:
    assert client.get(f"{TASKS}{id}").status_code == 404


def test_attempts_are_told_in_order_the_one_under_way_included(
    client: FlaskClient, a_task: Any
) -> None:
    task = a_task(Status.RUNNING, attempt=3)

    items = client.get(f"{TASKS}{task.id}/attempts").json["items"]

    assert [each["number"] for each in items] == [1, 2, 3]
    assert items[0] | {"started_at": 0, "ended_at": 0} == {
        "number": 1,
        "worker": "worker-1",
        "started_at": 0,
        "ended_at": 0,
        "outcome": str(Outcome.FAILED),
        "error": ERROR,
    }
    assert items[2]["outcome"] is items[2]["ended_at"] is items[2]["error"] is None


def test_the_history_tells_every_move(client: FlaskClient) -> None:
    task = client.post(TASKS, json=HELLO | {"delay": 1000}).json
    client.post(f"{TASKS}{task['id']}/cancel")
    client.post(f"{TASKS}{task['id']}/rerun")

    items = client.get(f"{TASKS}{task['id']}/history").json["items"]

    assert [(each["move"], each["by"], each["from"], each["to"]) for each in items] == [
        ("submit", "client", None, "scheduled"),
        ("cancel", "client", "scheduled", "cancelled"),
        ("rerun", "client", "cancelled", "pending"),
    ]


@pytest.mark.parametrize("status", Status)
def test_cancelling_follows_the_table_of_moves(
    client: FlaskClient, a_task: Any, status: Status
) -> None:
    task = a_task(status)

    answer = client.post(f"{TASKS}{task.id}/cancel")

    if status in (Status.SCHEDULED, Status.PENDING, Status.RUNNING):
        assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
        assert answer.json["finished_at"]
    else:
        assert answer.status_code == 409
        assert str(status) in answer.json["message"]


@pytest.mark.parametrize("status", Status)
def test_running_again_follows_the_table_of_moves(
    client: FlaskClient, a_task: Any, broker: Broker, status: Status
) -> None:
    task = a_task(status)

    answer = client.post(f"{TASKS}{task.id}/rerun")

    if status in (Status.FAILED, Status.CANCELLED):
        assert (answer.status_code, answer.json["status"]) == (200, "pending")
        assert answer.json["finished_at"] is None
        assert broker.head("default:normal", 9) == [str(task.id)]
    else:
        assert answer.status_code == 409
        assert str(status) in answer.json["message"]


def test_lists_show_the_newest_first_in_pages_that_nothing_shifts(client: FlaskClient) -> None:
    ids = [client.post(TASKS, json=HELLO).json["id"] for _ in range(7)]

    first = client.get(f"{TASKS}?limit=3").json
    client.post(TASKS, json=HELLO)
    second = client.get(f"{TASKS}?limit=3&cursor={first['next_cursor']}").json
    third = client.get(f"{TASKS}?limit=3&cursor={second['next_cursor']}").json

    pages = [[each["id"] for each in page["items"]] for page in (first, second, third)]
    assert pages == [ids[:3:-1], ids[3:0:-1], ids[:1]]
    assert third["next_cursor"] is None


@pytest.fixture
def many(a_task: Any) -> dict[str, str]:
    """Tasks that differ, by what is special about them."""
    return {
        "failed": str(a_task(Status.FAILED).id),
        "other kind": str(a_task(name="email.send").id),
        "other queue": str(a_task(queue_name="mail").id),
        "urgent": str(a_task(priority=Priority.CRITICAL).id),
        "labelled": str(a_task(labels={"customer": "acme:1", "x": "y"}).id),
        "old": str(
            a_task(
                created_at=ago(days=2),
                id=UUID(int=int((ago(days=2).timestamp()) * 1000) << 80 | 7 << 76),
            ).id
        ),
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=failed", {"failed"}),
        ("name=email.send", {"other kind"}),
        ("queue_name=mail", {"other queue"}),
        ("priority=critical", {"urgent"}),
        ("label=customer:acme:1", {"labelled"}),
        ("label=customer:acme", set()),
        ("status=pending&queue_name=default&priority=normal&label=x:y", {"labelled"}),
        ("created_before=YESTERDAY", {"old"}),
        ("created_after=YESTERDAY&status=failed", {"failed"}),
        ("created_after=2100-01-01T00:00:00Z", set()),
    ],
)
def test_lists_show_only_what_the_filters_ask_for(
    client: FlaskClient, many: dict[str, str], query: str, found: set[str]
) -> None:
    yesterday = ago(days=1).isoformat().replace("+00:00", "Z")

    items = client.get(f"{TASKS}?{query.replace('YESTERDAY', yesterday)}").json["items"]

    assert {each["id"] for each in items} == {many[name] for name in found}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=1e1", "limit"),
        ("limit=5&limit=6", "limit"),
        ("status=done", "status"),
        ("status=", "status"),
        ("priority=9", "priority"),
        ("name=%00", "name"),
        ("queue_name=a%20b", "queue_name"),
        ("label=novalue", "label"),
        ("label=a:%00", "label"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2030-01-01", "created_before"),
        ("cursor=x", "cursor"),
        ("cursor=AQ", "cursor"),
        ("cursor=%F0%9F%98%80", "cursor"),
        ("cursor=" + "A" * 300, "cursor"),
        ("offset=5", "offset"),
    ],
)
def test_a_wrong_filter_is_refused_by_its_name(client: FlaskClient, query: str, field: str) -> None:
    answer = client.get(f"{TASKS}?{query}")

    assert answer.status_code == 422
    assert answer.json["errors"]["query"].keys() == {field}


def test_the_request_id_is_stored_with_the_task(client: FlaskClient, session: Any) -> None:
    id = client.post(TASKS, json=HELLO, headers={"X-Request-ID": "req-42"}).json["id"]

    assert store.find(session, UUID(id)).request_id == "req-42"


def test_while_redis_is_away_tasks_are_accepted(client_without_redis: FlaskClient) -> None:
    began = time.monotonic()

    answers = [client_without_redis.post(TASKS, json=HELLO) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert time.monotonic() - began < 0.9
