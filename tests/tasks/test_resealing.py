"""After a rotation every stored secret can be sealed anew, and the old key dropped."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from marshmallow import Schema, fields

from tasks import catalog, resealing, sealing, store
from tasks.database import Sessions, sessions
from tasks.lifecycle import Status
from tasks.models import Task
from tasks.resealing import reseal_all
from tasks.sealing import SEALED, Vault, new_key

ONE, TWO = f"1:{new_key()}", f"2:{new_key()}"
KIND = "test.resealed"


class Account(Schema):
    password = fields.String(metadata={"secret": True})
    note = fields.String()


@pytest.fixture(autouse=True)
def _two_keys(sessions: Sessions) -> Iterator[None]:
    kinds = dict(catalog._kinds)
    catalog.handles(KIND, Account)(lambda **_: None)
    yield
    sealing.configure(Vault())
    catalog._kinds.clear()
    catalog._kinds.update(kinds)


def sealed_by(key: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    sealing.configure(Vault([key]))
    return dict(sealing.seal(catalog.kind(KIND), payload))


def stored(task: Task) -> dict[str, Any]:
    with sessions.begin() as session:
        return store.find(session, task.id).payload


def test_every_secret_is_sealed_anew_in_batches(
    a_task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "BATCH", 2)
    secret = {"password": "canary", "note": "seen"}
    tasks = [
        a_task(status, name=KIND, payload=sealed_by(ONE, secret))
        for status in (Status.PENDING, Status.RUNNING, Status.SUCCEEDED, Status.FAILED)
    ]
    new = a_task(name=KIND, payload=sealed_by(TWO, secret))
    without = a_task(name=KIND, payload={"note": "seen"})
    sealing.configure(Vault([TWO, ONE]))

    assert reseal_all() == 4
    assert reseal_all() == 0

    sealing.configure(Vault([TWO]))
    for task in [*tasks, new]:
        assert stored(task)["password"][SEALED].startswith("2.")
        assert sealing.unseal(catalog.kind(KIND), stored(task))[0] == secret
    assert stored(without) == {"note": "seen"}


def test_a_task_keeps_its_status_meanwhile(a_task: Callable[..., Task]) -> None:
    task = a_task(Status.RUNNING, name=KIND, payload=sealed_by(ONE, {"password": "canary"}))
    sealing.configure(Vault([TWO, ONE]))

    reseal_all()

    with sessions.begin() as session:
        found = store.find(session, task.id)
    assert (found.status, found.attempt, found.worker_id) == (Status.RUNNING, 1, task.worker_id)


def test_a_secret_that_no_key_opens_is_left_as_it_is(a_task: Callable[..., Task]) -> None:
    lost = a_task(name=KIND, payload=sealed_by(ONE, {"password": "canary"}))
    before = stored(lost)
    sealing.configure(Vault([TWO]))

    assert reseal_all() == 0
    assert stored(lost) == before
