"""A body of very many values is refused as a whole, whatever is wrong with each of them."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from api.crowds import MOST, TOO_MANY, is_crowded, size

TASK = {"name": "example_task", "payload": {"message": "hi"}}
MANY = 200_000
LABELS = {f"{number} ": "" for number in range(MANY)}
FIELDS = {f"x{number}": 1 for number in range(MANY)}
A_SCHEDULE = {"name": "s", "every": 60, "task": TASK}


def refusal(client: FlaskClient, path: str, body: Any) -> Any:
    answer = client.post(f"/api/v1{path}", json=body)
    assert answer.status_code == 422
    return answer.json["errors"]["json"]


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
def test_a_crowd_is_not_explained_value_by_value(client: FlaskClient, path: str, body: Any) -> None:
    """Explaining each takes up to eighty times as long as reading it, and as much of an answer."""
    explained = size(refusal(client, path, body), MANY)

    assert explained <= 4 * MOST  # a field, a key in it, and what is wrong with that


def test_each_wrong_task_of_a_crowded_batch_is_named(client: FlaskClient) -> None:
    wrong = {"name": "example_task", "labels": {f"{number} ": "" for number in range(30)}}
    tasks = [wrong, TASK] * 500

    errors = refusal(client, "/tasks/batch", {"tasks": tasks})

    assert list(map(int, errors["tasks"])) == list(range(0, 1000, 2))
    assert "labels" in errors["tasks"]["0"]
    assert errors["tasks"]["998"] in ({"_schema": ["Not valid."]}, errors["tasks"]["0"])


def test_a_batch_that_is_too_long_is_told_its_limit(client: FlaskClient) -> None:
    errors = refusal(client, "/tasks/batch", {"tasks": [TASK] * 1001})

    assert errors == {"tasks": ["Length must be between 1 and 1000."]}


def test_fields_beside_the_tasks_of_a_batch_are_named(client: FlaskClient) -> None:
    errors = refusal(client, "/tasks/batch", {"tasks": [TASK], "more": 1})

    assert errors == {"more": ["Unknown field."]}


def test_values_are_counted_wherever_they_are() -> None:
    assert size({"a": [1, 2, {"b": {}}], "c": None}) == 6
    assert not is_crowded([0] * MOST)
    assert is_crowded([0] * (MOST + 1))
    assert str(MOST) in TOO_MANY
