"""An admin makes, rotates, expires and revokes keys over HTTP; all of it is in the audit."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from flask import Flask

from api.keyring import FRESH
from tests.api.guarded import Caller, make_key
from tests.eventually import eventually

KEYS, AUDIT, TASKS = "/api/v1/keys/", "/api/v1/audit/", "/api/v1/tasks/"
TASK = {"name": "example_task", "payload": {"message": "hi"}}


@pytest.fixture
def admin(guarded: Flask) -> Caller:
    return Caller(guarded.test_client(), make_key("admin"))


def made(admin: Caller, **wanted: Any) -> dict[str, Any]:
    answer = admin.post(KEYS, json={"name": "billing", "scopes": ["tasks:read"]} | wanted)
    assert answer.status_code == 201, answer.json
    return answer.json


def with_token(admin: Caller, token: str) -> int:
    return Caller(admin.client, token).get(TASKS).status_code


def test_a_new_key_is_shown_once_and_works(admin: Caller) -> None:
    answer = admin.post(KEYS, json={"name": "billing", "scopes": ["tasks:read"]})
    key = answer.json

    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert with_token(admin, key["token"]) == 200
    found = admin.get(answer.headers["Location"])
    assert "token" not in found.json
    assert found.json["tokens"][0]["prefix"] == key["token"][:19]
    assert key["token"] not in admin.get(KEYS).text


def test_after_a_rotation_both_tokens_work_until_the_overlap_is_over(admin: Caller) -> None:
    key = made(admin)
    new = admin.post(f"{KEYS}{key['id']}/rotate", json={"overlap": 1}).json

    assert new["id"] == key["id"] and new["token"] != key["token"]
    assert [with_token(admin, each["token"]) for each in (key, new)] == [200, 200]
    eventually(lambda: with_token(admin, key["token"]) == 401, within=FRESH + 1.5)
    assert with_token(admin, new["token"]) == 200


def test_a_revoked_key_is_out_within_seconds(admin: Caller) -> None:
    key = made(admin)
    revoked = admin.post(f"{KEYS}{key['id']}/revoke")

    assert revoked.json["revoked_at"] is not None
    eventually(lambda: with_token(admin, key["token"]) == 401, within=FRESH + 0.5)
    assert admin.post(f"{KEYS}{key['id']}/rotate", json={}).status_code == 409
    assert admin.post(f"{KEYS}{key['id']}/expire", json={"expires_in": 9}).status_code == 409


def test_a_key_ends_when_it_was_told_to(admin: Caller) -> None:
    key = made(admin, expires_in=3600)
    sooner = admin.post(f"{KEYS}{key['id']}/expire", json={"expires_in": 60}).json

    assert key["created_at"] < sooner["expires_at"] < key["expires_at"]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\u0007b"}, "name"),
        ({"name": 7}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes"),
        ({"scopes": "admin"}, "scopes"),
        ({"queue_names": ["a b"]}, "queue_names"),
        ({"queue_names": ["mail"], "scopes": ["admin"]}, "queue_names"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": "soon"}, "expires_in"),
        ({"expires_in": 1e300}, "expires_in"),
        ({"submit_rate": 0}, "submit_rate"),
        ({"submit_rate": True}, "submit_rate"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_wrong_request_names_the_field(admin: Caller, wanted: dict[str, Any], field: str) -> None:
    answer = admin.post(KEYS, json={"name": "billing", "scopes": ["tasks:read"]} | wanted)

    assert answer.status_code == 422
    assert list(answer.json["errors"]["json"]) == [field]


@pytest.mark.parametrize("body", ["[]", "1", '"x"', "null", "{}"])
def test_a_body_that_is_no_key_is_refused(admin: Caller, body: str) -> None:
    answer = admin.post(KEYS, data=body, content_type="application/json")

    assert answer.status_code == 422


def test_a_key_that_does_not_exist_is_not_found(admin: Caller) -> None:
    assert admin.get(f"{KEYS}nobody0000").status_code == 404
    for act, body in (("rotate", {}), ("expire", {"expires_in": 9}), ("revoke", {})):
        assert admin.post(f"{KEYS}nobody0000/{act}", json=body).status_code == 404


def test_every_write_is_in_the_audit_with_who_what_and_from_where(admin: Caller) -> None:
    key = made(admin, name="worker", scopes=["tasks:submit", "tasks:manage"])
    worker = Caller(admin.client, key["token"])
    task = worker.post(TASKS, json=TASK).json["id"]
    worker.post(f"{TASKS}{task}/cancel")
    worker.post(f"{TASKS}{task}/rerun")
    worker.post(f"{TASKS}batch", json={"tasks": [TASK] * 3})
    worker.post(TASKS, json=TASK, headers={"Idempotency-Key": "k"})
    worker.post(TASKS, json=TASK, headers={"Idempotency-Key": "k"})  # a replay does nothing
    worker.post(TASKS, json={"name": "nonsense"})  # nor does a refusal

    entries = admin.get(f"{AUDIT}?principal={key['id']}").json["items"]

    assert [entry["action"] for entry in entries] == [
        "task.submit",
        "task.submit_many",
        "task.rerun",
        "task.cancel",
        "task.submit",
    ]
    assert {entry["address"] for entry in entries} == {"127.0.0.1"}
    assert entries[1]["details"]["tasks"] == 3
    assert [entries[n]["subject"] for n in (2, 3, 4)] == [task] * 3
    assert entries[3]["from_status"] == "pending"


def test_the_audit_is_paged_and_filtered(admin: Caller) -> None:
    made_ids = [made(admin, name=f"key {n}")["id"] for n in range(5)]

    pages: list[list[str]] = []
    asked = {"action": "key.create", "limit": "2"}
    while True:
        page = admin.get(AUDIT, query_string=asked).json
        pages.append([entry["subject"] for entry in page["items"]])
        if page["next_cursor"] is None:
            break
        asked["cursor"] = page["next_cursor"]

    assert list(chain(*pages))[:5] == made_ids[::-1]
    assert all(len(page) <= 2 for page in pages)
    assert len(admin.get(f"{AUDIT}?subject={made_ids[0]}").json["items"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "cursor=x",
        "cursor=Af________________8",
        "x=1",
        "action=a%00b",
        "subject=%00",
        "principal=%00",
        "subject=a&subject=b",
    ],
)
def test_a_wrong_question_to_the_audit_is_refused(admin: Caller, query: str) -> None:
    assert admin.get(f"{AUDIT}?{query}").status_code == 422


def test_with_auth_off_submissions_leave_no_audit_entry(app: Flask) -> None:
    anybody = Caller(app.test_client(), None)
    task = anybody.post(TASKS, json=TASK).json["id"]
    anybody.post(f"{TASKS}{task}/cancel")

    assert [entry["action"] for entry in anybody.get(AUDIT).json["items"]] == ["task.cancel"]


def test_behind_a_trusted_proxy_the_audit_names_the_client(
    guarded: Flask, postgres_url: str, redis_url: str
) -> None:
    from api import create_app
    from settings import Settings

    behind = create_app(Settings(database_url=postgres_url, redis_url=redis_url, trusted_proxies=1))
    admin = Caller(behind.test_client(), make_key("admin"))
    forwarded = {"X-Forwarded-For": "10.9.9.9, 203.0.113.7"}  # the first is the client's own claim

    admin.post(KEYS, json={"name": "x", "scopes": ["tasks:read"]}, headers=forwarded)

    assert admin.get(AUDIT).json["items"][0]["address"] == "203.0.113.7"
