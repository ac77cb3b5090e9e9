"""A body of very many values is refused in moments, whatever is wrong with each of them."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from api import strict_json
from api.crowds import MOST, TOO_MANY, is_crowded, size

TASK = {"name": "example_task", "payload": {"message": "hi"}}
MANY = 200_000
LABELS = {f"{number} ": "" for number in range(MANY)}
FIELDS = {f"x{number}": 1 for number in range(MANY)}
A_SCHEDULE = {"name": "s", "every": 60, "task": TASK}


def seconds_of_reading(body: Any) -> float:
    raw = orjson.dumps(body)
    began = time.process_time()
    strict_json.parse(raw)
    return time.process_time() - began


def seconds(client: FlaskClient, path: str, body: Any) -> tuple[float, Any]:
    raw = orjson.dumps(body)
    began = time.process_time()
    answer = client.post(f"/api/v1{path}", data=raw, content_type="application/json")
    took = time.process_time() - began
    assert answer.status_code == 422
    assert len(answer.data) < 2_000_000
    return took, answer.json["errors"]["json"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tasks/", TASK | {"labels": LABELS}),
        ("/tasks/", TASK | FIELDS),
        ("/tasks/", {"name": "example_task", "payload": FIELDS}),
        ("/tasks/", {"name": "http.request", "payload": {"url": "x", "headers": LABELS}}),
        ("/tasks/", [[]] * MANY),
        ("/tasks/batch", {"tasks": [{}] * MANY}),
        ("/tasks/batch", {"tasks": [TASK]} | FIELDS),
        ("/tasks/batch", {"tasks": [TASK, TASK | {"labels": LABELS}]}),
        ("/tasks/batch", {"tasks": [{"labels": {f"{n} ": "" for n in range(200)}}] * 1000}),
        ("/schedules/", A_SCHEDULE | {"task": TASK | {"labels": LABELS}}),
        ("/schedules/", A_SCHEDULE | FIELDS),
        ("/schedules/", A_SCHEDULE | {"task": TASK | {"payload": FIELDS}}),
        ("/keys/", {"name": "k", "scopes": ["admin"] * MANY}),
    ],
)
def test_it_takes_no_time_to_refuse_a_crowd(client: FlaskClient, path: str, body: Any) -> None:
    """Without the defence, explaining takes up to eighty times as long as reading."""
    reading = max(seconds_of_reading(body) for _ in range(3))
    taken, _ = seconds(client, path, body)

    assert taken < 15 * reading


def test_each_wrong_task_of_a_crowded_batch_is_named(client: FlaskClient) -> None:
    wrong = {"name": "example_task", "labels": {f"{number} ": "" for number in range(30)}}
    tasks = [wrong, TASK] * 500

    _, errors = seconds(client, "/tasks/batch", {"tasks": tasks})

    assert list(map(int, errors["tasks"])) == list(range(0, 1000, 2))
    assert "labels" in errors["tasks"]["0"]
    assert errors["tasks"]["998"] in ({"_schema": ["Not valid."]}, errors["tasks"]["0"])


def test_a_batch_that_is_too_long_is_told_its_limit(client: FlaskClient) -> None:
    _, errors = seconds(client, "/tasks/batch", {"tasks": [TASK] * 1001})

    assert errors == {"tasks": ["Length must be between 1 and 1000."]}


def test_fields_beside_the_tasks_of_a_batch_are_named(client: FlaskClient) -> None:
    _, errors = seconds(client, "/tasks/batch", {"tasks": [TASK], "more": 1})

    assert errors == {"more": ["Unknown field."]}


def test_values_are_counted_wherever_they_are() -> None:
    assert size({"a": [1, 2, {"b": {}}], "c": None}) == 6
    assert not is_crowded([0] * MOST)
    assert is_crowded([0] * (MOST + 1))
    assert str(MOST) in TOO_MANY
