"""Up to 1,000 tasks in one request, all or none."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.broker import Broker

TASKS = "/api/v1/tasks/"
BATCH = "/api/v1/tasks/batch"
HELLO = {"name": "example_task", "payload": {"message": "hello"}}


def test_a_batch_answers_with_ids_in_the_order_of_its_tasks(
    client: FlaskClient, broker: Broker
) -> None:
    tasks = [{"name": "example_task", "payload": {"message": str(n)}} for n in range(1000)]

    answer = client.post(BATCH, json={"tasks": tasks})

    ids = answer.json["ids"]
    assert answer.status_code == 201
    assert len(set(ids)) == 1000
    assert client.get(f"{TASKS}{ids[417]}").json["payload"] == {"message": "417"}
    assert broker.head("default:normal", 2000) == ids


def test_tasks_of_one_batch_may_differ(client: FlaskClient, broker: Broker) -> None:
    tasks = [
        HELLO,
        HELLO | {"priority": "high"},
        {"name": "http.request", "payload": {"url": "https://example.com"}, "delay": 60},
    ]

    ids = client.post(BATCH, json={"tasks": tasks}).json["ids"]

    assert broker.head("default:high", 9) == [ids[1]]
    assert client.get(f"{TASKS}{ids[2]}").json["status"] == "scheduled"


def test_one_wrong_task_refuses_the_batch_and_each_wrong_one_is_named(
    client: FlaskClient,
) -> None:
    tasks: list[Any] = [HELLO] * 6
    tasks[1] = {"name": "sing"}
    tasks[3] = HELLO | {"payload": {}, "delay": -1}
    tasks[4] = "hello"

    answer = client.post(BATCH, json={"tasks": tasks})

    wrong = answer.json["errors"]["json"]["tasks"]
    assert answer.status_code == 422
    assert wrong.keys() == {"1", "3", "4"}
    assert wrong["3"] == {
        "payload": {"message": ["Missing data for required field."]},
        "delay": ["Must be greater than or equal to 0 and less than or equal to 315360000.0."],
    }
    assert client.get(TASKS).json["items"] == []


def test_what_only_the_kind_refuses_is_named_by_index_too(client: FlaskClient) -> None:
    answer = client.post(BATCH, json={"tasks": [HELLO, HELLO | {"payload": {"message": 1}}]})

    assert answer.status_code == 422
    assert answer.json["errors"]["json"]["tasks"] == {
        "1": {"payload": {"message": ["Not a valid string."]}}
    }


@pytest.mark.parametrize(
    "body",
    [
        {"tasks": []},
        {"tasks": [HELLO] * 1001},
        {"tasks": {}},
        {"tasks": None},
        {},
        [],
        {"tasks": [HELLO], "atomic": True},
    ],
)
def test_a_batch_of_another_shape_is_refused(client: FlaskClient, body: object) -> None:
    answer = client.post(BATCH, json=body)

    assert answer.status_code == 422
    assert answer.json["errors"]["json"]
    assert client.get(TASKS).json["items"] == []
