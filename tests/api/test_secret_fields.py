"""Secret fields are shown to whoever may see payloads, and to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tasks import sealing
from tasks.sealing import Vault, new_key
from tests.api.guarded import Caller, make_key

TASKS, SCHEDULES = "/api/v1/tasks/", "/api/v1/schedules/"
SECRET = {"Authorization": "Bearer canary"}
TASK = {
    "name": "http.request",
    "payload": {"url": "https://example.com/", "secret_headers": SECRET},
}
ALL_BUT_PAYLOADS = ("tasks:submit", "tasks:read", "tasks:manage", "schedules:manage")


@pytest.fixture(autouse=True)
def _keys_of_this_test(guarded: Flask) -> Iterator[None]:
    sealing.configure(Vault([f"1:{new_key()}"]))
    yield
    sealing.configure(Vault())


@pytest.fixture
def seer(guarded: Flask) -> Caller:
    return Caller(guarded.test_client(), make_key(*ALL_BUT_PAYLOADS, "payloads:read"))


@pytest.fixture
def other(guarded: Flask) -> Caller:
    return Caller(guarded.test_client(), make_key(*ALL_BUT_PAYLOADS))


def answers_of(caller: Caller) -> list[Any]:
    """Every answer about one task, and about one schedule, in which its payload could stand."""
    once = {"Idempotency-Key": "same"}
    made = [caller.post(TASKS, json=TASK, headers=once) for _ in range(2)]
    path = f"{TASKS}{made[0].json['id']}"
    made += [caller.get(TASKS), caller.get(path), caller.post(f"{path}/cancel")]
    made += [caller.post(f"{path}/rerun")]
    schedule = {"name": f"of {caller.token}"[:20], "every": 3600, "task": TASK}
    made.append(caller.post(SCHEDULES, json=schedule))
    path = f"{SCHEDULES}{made[-1].json['id']}"
    made += [caller.get(SCHEDULES), caller.get(path), caller.post(f"{path}/resume")]
    made += [caller.post(f"{path}/run")]
    assert {answer.status_code for answer in made} <= {200, 201}
    return made


def test_whoever_may_see_payloads_sees_them_opened(seer: Caller) -> None:
    assert all(b"Bearer canary" in answer.data for answer in answers_of(seer))


def test_whoever_may_not_sees_neither_what_is_secret_nor_how_it_is_sealed(other: Caller) -> None:
    for answer in answers_of(other):
        assert b"canary" not in answer.data and b"$sealed" not in answer.data


def test_when_their_key_is_gone_a_mask_stands_there(seer: Caller) -> None:
    id = seer.post(TASKS, json=TASK).json["id"]
    sealing.configure(Vault([f"2:{new_key()}"]))

    for keys in ([f"2:{new_key()}"], []):
        sealing.configure(Vault(keys))
        answer = seer.get(f"{TASKS}{id}")
        assert answer.status_code == 200
        assert answer.json["payload"] == {"url": "https://example.com/", "secret_headers": "***"}
        assert seer.get(TASKS).json["items"][0]["payload"]["secret_headers"] == "***"


def test_a_schedule_whose_secrets_cannot_be_opened_changes_only_with_a_new_payload(
    seer: Caller,
) -> None:
    made = seer.post(SCHEDULES, json={"name": "hourly", "every": 3600, "task": TASK})
    path = f"{SCHEDULES}{made.json['id']}"
    sealing.configure(Vault([f"2:{new_key()}"]))

    refused = seer.ask("PATCH", path, json={"task": {"priority": "high"}})
    renewed = seer.ask("PATCH", path, json={"task": {"payload": TASK["payload"]}})

    assert refused.status_code == 422
    assert "cannot be read. Give it anew." in refused.json["errors"]["json"]["task"]["payload"][0]
    assert renewed.status_code == 200
    assert renewed.json["task"]["payload"]["secret_headers"] == SECRET
    assert seer.ask("PATCH", path, json={"task": {"priority": "high"}}).status_code == 200


def test_without_any_key_a_secret_is_refused_at_submission(seer: Caller) -> None:
    sealing.configure(Vault())

    answer = seer.post(TASKS, json=TASK)

    assert answer.status_code == 422
    assert "PAYLOAD_KEYS" in answer.json["errors"]["json"]["payload"]["secret_headers"][0]
