"""A request with an Idempotency-Key can be repeated safely."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete

from tasks import sealing
from tasks.database import sessions
from tasks.models import Task
from tasks.sealing import Vault, new_key

TASKS = "/api/v1/tasks/"
BATCH = "/api/v1/tasks/batch"
HELLO = {"name": "example_task", "payload": {"message": "hello", "seconds": 0}}
KEY = {"Idempotency-Key": "order-4711"}


def test_a_repeated_request_gets_the_first_answer_again(client: FlaskClient) -> None:
    first = client.post(TASKS, json=HELLO, headers=KEY)
    again = client.post(TASKS, json=HELLO, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert len(client.get(TASKS).json["items"]) == 1


def test_the_same_request_may_be_spelled_differently(client: FlaskClient) -> None:
    first = client.post(TASKS, json=HELLO, headers=KEY)
    again = client.post(
        TASKS,
        data='{ "payload": {"seconds": 0, "message": "hell\\u006f"}, "name": "example_task" }',
        content_type="application/json",
        headers=KEY | {"X-Request-ID": "another"},
    )

    assert (again.status_code, again.json["id"]) == (200, first.json["id"])


@pytest.mark.parametrize("more", [{"delay": 1}, {"priority": "low"}, {"payload": {"message": "x"}}])
def test_another_request_under_the_same_key_is_refused(
    client: FlaskClient, more: dict[str, Any]
) -> None:
    client.post(TASKS, json=HELLO, headers=KEY)

    answer = client.post(TASKS, json=HELLO | more, headers=KEY)

    assert answer.status_code == 422
    assert answer.json["errors"]["headers"]["Idempotency-Key"]
    assert len(client.get(TASKS).json["items"]) == 1


def test_a_batch_can_be_repeated_too(client: FlaskClient) -> None:
    first = client.post(BATCH, json={"tasks": [HELLO] * 3}, headers=KEY)
    again = client.post(BATCH, json={"tasks": [HELLO] * 3}, headers=KEY)
    other = client.post(BATCH, json={"tasks": [HELLO] * 4}, headers=KEY)

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 422)
    assert again.json == first.json
    assert len(client.get(TASKS).json["items"]) == 3


def test_a_refused_request_does_not_use_up_its_key(client: FlaskClient) -> None:
    refused = client.post(TASKS, json=HELLO | {"payload": {}}, headers=KEY)
    corrected = client.post(TASKS, json=HELLO, headers=KEY)

    assert (refused.status_code, corrected.status_code) == (422, 201)


def test_many_equal_requests_at_once_make_one_task(app: Flask) -> None:
    def post(_: int) -> tuple[int, str]:
        answer = app.test_client().post(TASKS, json=HELLO, headers=KEY)
        return answer.status_code, answer.json["id"]

    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(post, range(100)))

    assert len({id for _, id in answers}) == 1
    assert sorted(status for status, _ in answers) == [200] * 99 + [201]


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256, "tab\t"])
def test_a_key_that_is_none_is_refused(client: FlaskClient, key: str) -> None:
    answer = client.post(TASKS, json=HELLO, environ_overrides={"HTTP_IDEMPOTENCY_KEY": key})

    assert answer.status_code == 422
    assert answer.json["errors"]["headers"].keys() == {"Idempotency-Key"}


def test_a_request_is_known_again_while_and_after_payload_keys_are_rotated(
    client: FlaskClient,
) -> None:
    one, two = f"1:{new_key()}", f"2:{new_key()}"
    statuses = []
    try:
        for keys in ([], [one], [two, one], [two], []):
            sealing.configure(Vault(keys))
            statuses.append(client.post(TASKS, json=HELLO, headers=KEY).status_code)
            own = {"Idempotency-Key": f"with {len(keys)} keys, from {keys[:1]}".replace(" ", "-")}
            statuses.append(client.post(TASKS, json=HELLO, headers=own).status_code)
            statuses.append(client.post(TASKS, json=HELLO, headers=own).status_code)
        sealing.configure(Vault([two]))
        early = {"Idempotency-Key": "early"}
        client.post(TASKS, json=HELLO, headers=early)
        sealing.configure(Vault())
        late = client.post(TASKS, json=HELLO, headers=early).status_code
    finally:
        sealing.configure(Vault())

    assert statuses[:3] == [201, 201, 200]
    assert statuses[3::3] == [200] * 4
    assert late == 200


def test_a_repeated_request_whose_task_was_pruned_is_told_so(client: FlaskClient) -> None:
    client.post(TASKS, json=HELLO, headers=KEY)
    with sessions.begin() as session:
        session.execute(delete(Task))

    answer = client.post(TASKS, json=HELLO, headers=KEY)

    assert answer.status_code == 410
    assert "deleted since" in answer.json["message"]
    assert client.get(TASKS).json["items"] == []
