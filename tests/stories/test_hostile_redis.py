"""Whoever can write to Redis can run nothing, stop nothing and show nothing false for long."""

from __future__ import annotations

import json
import os
import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from redis import Redis

from fuzz.service import Service, service
from tests.eventually import eventually

pytestmark = pytest.mark.timeout(300)

QUEUE = "default:normal"
LIST = f"rq:queue:{QUEUE}"


@pytest.fixture(scope="module")
def found() -> Iterator[Service]:
    with service() as found:
        yield found


@pytest.fixture
def redis(found: Service) -> Iterator[Redis]:
    with Redis.from_url(found.environ["REDIS_URL"]) as client:
        yield client


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that exists only if something planted was executed."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "something planted in Redis was executed"


def ask(found: Service, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    request = Request(
        found.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {found.token}", "Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=30) as answer:
            text, status = answer.read(), answer.status
    except HTTPError as refusal:
        text, status = refusal.read(), refusal.code
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def submit(found: Service, **fields: Any) -> str:
    task = {"name": "example_task", "payload": {"message": "safe"}} | fields
    status, body = ask(found, "POST", "/api/v1/tasks/", task)
    assert status == 201, body
    return str(body["id"])


def still_works(found: Service) -> None:
    """A task submitted now is run, by the worker that was there before."""
    task = submit(found)
    eventually(
        lambda: ask(found, "GET", f"/api/v1/tasks/{task}?wait=5")[1]["result"] == "safe", within=60
    )


class Executes:
    """Pickled, it runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def hostile_jobs(canary: Path) -> list[dict[str, Any]]:
    touch = f"touch {canary}"
    as_json = json.dumps
    return [
        {"data": pickle.dumps(Executes(touch))},
        {"data": zlib.compress(pickle.dumps(Executes(touch)))},
        {"data": pickle.dumps(("os.system", None, [touch], {}))},
        {"data": as_json(["os.system", None, [touch], {}])},
        {"data": as_json(["builtins.eval", None, [f"__import__('os').system('{touch}')"], {}])},
        {"data": as_json(["subprocess.call", None, [["touch", str(canary)]], {}])},
        {"data": as_json(["jobs.run", None, [touch], {}])},
        {"data": as_json(["system", as_json("os"), [touch], {}])},
        {
            "data": as_json(["jobs.run", None, ["x"], {}]),
            "success_callback_name": "os.system",
            "failure_callback_name": "os.system",
            "stopped_callback_name": "os.system",
        },
        {"data": as_json(["jobs.run", None, ["x"], {}]), "meta": pickle.dumps(Executes(touch))},
        {"data": as_json(["jobs.run", None, ["x"], {}]), "result": pickle.dumps(Executes(touch))},
        {"data": b"\x80\x04nonsense", "created_at": "yesterday", "timeout": "soon"},
        {"data": "[" * 100_000, "status": "\xff", "dependency_ids": "]["},
        {"created_at": "2026-01-01T00:00:00.000000Z"},
        {"description": "<script>alert(1)</script>", "status": "queued"},
    ]


def test_planted_jobs_are_never_executed_and_never_stop_a_worker(
    found: Service, redis: Redis, canary: Path
) -> None:
    for job in hostile_jobs(canary):
        id = str(uuid4())
        redis.hset(f"rq:job:{id}", mapping=job)
        redis.lpush(LIST, id)
        redis.lpush("rq:queue:default:critical", id)

    still_works(found)
    eventually(lambda: redis.llen(LIST) == 0)


def test_a_hostile_job_in_place_of_a_tasks_own_changes_nothing(
    found: Service, redis: Redis, canary: Path
) -> None:
    for job in hostile_jobs(canary):
        task = submit(found, delay=0.3)
        redis.delete(f"rq:job:{task}")
        redis.hset(f"rq:job:{task}", mapping=job)
        redis.rpush(LIST, task)
        eventually(
            lambda task=task: (
                ask(found, "GET", f"/api/v1/tasks/{task}?wait=5")[1]["result"] == "safe"
            ),
            within=60,
        )


NONSENSE = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe",
    "huge": b"x" * 1_000_000,
    "a path": b"../../etc/passwd",
    "almost an id": b"00000000-0000-0000-0000-00000000000g",
    "SQL": b"'; DROP TABLE tasks; --",
    "NUL": b"\0",
    "an id of nothing": b"01982f6c-8d2a-7c4e-9a51-3d6f0b7c2e10",
}


@pytest.mark.parametrize("entry", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_in_a_queue_is_dropped(found: Service, redis: Redis, entry: bytes) -> None:
    redis.lpush(LIST, entry)

    still_works(found)
    eventually(lambda: redis.llen(LIST) == 0)


KEYS = (
    LIST,
    "rq:queue:default:critical",
    "rq:queues",
    "rq:workers",
    f"rq:wip:{QUEUE}",
    f"rq:finished:{QUEUE}",
    f"rq:failed:{QUEUE}",
    "dtq:epoch",
    "dtq:popped:nobody",
)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", ["string", "hash", "list"])
def test_a_key_of_the_wrong_type_stops_nothing_else(
    found: Service, redis: Redis, key: str, kind: str
) -> None:
    redis.delete(key)
    if kind == "string":
        redis.set(key, b"\xff nonsense")
    elif kind == "hash":
        redis.hset(key, "a", b"\xff")
    else:
        redis.rpush(key, b"\xff", b"<img src=x onerror=alert(1)>")
    try:
        still_works(found)
        for page in ("/health", "/api/v1/monitoring/queues", "/api/v1/monitoring/metrics"):
            assert ask(found, "GET", page)[0] == 200
        for page in ("/rq/", "/rq/0/data/queues.json", "/rq/0/data/workers.json"):
            assert ask(found, "GET", page)[0] in (200, 503)
    finally:
        if redis.type(key).decode() == kind:
            redis.delete(key)


@pytest.mark.parametrize(
    "command",
    [
        json.dumps({"command": "shutdown"}).encode(),
        json.dumps({"command": "kill-horse"}).encode(),
        json.dumps({"command": "stop-job", "job_id": "x"}).encode(),
        b"nonsense",
        pickle.dumps({"command": "shutdown"}),
    ],
)
def test_commands_to_workers_stop_none(found: Service, redis: Redis, command: bytes) -> None:
    for worker in redis.smembers("rq:workers"):
        name = worker.decode().removeprefix("rq:worker:")
        redis.publish(f"rq:pubsub:{name}", command)
    for channel in ("dtq:wake", "dtq:finished"):
        redis.publish(channel, command)

    still_works(found)


def test_the_worker_that_was_there_first_is_still_there(found: Service) -> None:
    workers = ask(found, "GET", "/api/v1/monitoring/workers")[1]["items"]

    assert len(workers) == 1
    assert '"level":"critical"' not in found.worker_log.read_text()
