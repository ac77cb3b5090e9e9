"""rq-dashboard at /rq reads and never writes, and nothing in Redis can harm who looks at it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from redis import Redis
from rq import Worker
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from api.dashboard import REGISTRIES
from tasks.broker import Broker, Delivery
from tasks.lifecycle import Priority

QUEUE = "default:normal"
SCRIPT = "<script>alert(1)</script>"
ID = "01982f6c-8d2a-7c4e-9a51-3d6f0b7c2e10"
JOBS = f"/rq/0/data/jobs/{QUEUE}"
PAGES = [
    "/rq/",
    "/rq/0/view/queues",
    "/rq/0/view/workers",
    "/rq/0/view/jobs",
    f"/rq/0/view/job/{ID}",
]
DATA = ["/rq/0/data/queues.json", "/rq/0/data/workers.json", f"{JOBS}/queued/8/asc/1.json"]


@pytest.fixture
def redis(broker: Broker) -> Redis:
    return broker.redis


@pytest.fixture
def queued(broker: Broker) -> str:
    """A job as our broker queues it."""
    broker.push([Delivery(ID, "example_task", "default", Priority.NORMAL, 60.0)])
    return ID


def plant(redis: Redis, id: str, **fields: Any) -> None:
    """A job's hash as an enemy of ours would write it, and its place in the queue."""
    redis.hset(f"rq:job:{id}", mapping=fields)
    redis.rpush(f"rq:queue:{QUEUE}", id)
    redis.sadd("rq:queues", f"rq:queue:{QUEUE}")


def jobs(client: FlaskClient, registry: str = "queued") -> list[dict[str, Any]]:
    answer = client.get(f"{JOBS}/{registry}/8/asc/1.json")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json["jobs"]
    return found


def test_a_queued_job_is_shown_by_its_kind(client: FlaskClient, queued: str) -> None:
    (queue,) = client.get("/rq/0/data/queues.json").json["queues"]
    (job,) = jobs(client)
    whole = client.get(f"/rq/0/data/job/{queued}.json").json

    assert (queue["name"], queue["count"]) == (QUEUE, 1)
    assert (job["id"], job["description"]) == (queued, "example_task")
    assert (whole["status"], whole["origin"], whole["result"]) == ("queued", QUEUE, None)


@pytest.mark.parametrize("registry", [StartedJobRegistry, FinishedJobRegistry, FailedJobRegistry])
def test_jobs_in_every_registry_are_shown(
    client: FlaskClient, redis: Redis, queued: str, registry: Any
) -> None:
    job = Job.fetch(queued, redis, serializer=JSONSerializer)
    place = registry(QUEUE, connection=redis)
    member = f"{queued}:an-execution" if registry is StartedJobRegistry else queued
    redis.zadd(place.key, {member: 9_999_999_999})
    name = place.key.split(":")[1].replace("wip", "started")

    (shown,) = jobs(client, name)
    (queue,) = client.get("/rq/0/data/queues.json").json["queues"]

    assert shown["id"] == job.id
    assert queue[f"{name}_job_registry_count"] == 1


def test_pages_of_jobs_go_both_ways(client: FlaskClient, broker: Broker) -> None:
    ids = [uuid4() for _ in range(7)]
    broker.push([Delivery(str(id), "example_task", "default", Priority.NORMAL, 60.0) for id in ids])

    def page(order: str, number: int) -> list[str]:
        answer = client.get(f"{JOBS}/queued/3/{order}/{number}.json").json
        return [each["id"] for each in answer["jobs"]]

    names = [str(id) for id in ids]
    assert [page("asc", number) for number in (1, 2, 3, 4)] == [
        names[:3],
        names[3:6],
        names[6:],
        [],
    ]
    assert [page("dsc", number) for number in (1, 3)] == [names[:3:-1], names[:1]]


def test_a_worker_is_shown_while_it_runs_a_job(
    client: FlaskClient, redis: Redis, queued: str
) -> None:
    worker = Worker([QUEUE], connection=redis, name="worker-1", serializer=JSONSerializer)
    worker.register_birth()
    worker.set_state("busy")
    job = Job.fetch(queued, redis, serializer=JSONSerializer)
    worker.prepare_execution(job)

    (shown,) = client.get("/rq/0/data/workers.json").json["workers"]

    assert (shown["name"], shown["state"], shown["queues"]) == ("worker-1", "busy", [QUEUE])
    assert shown["current_job"]["job_id"] == queued
    assert shown["current_job"]["call_string"] == "example_task"


def test_our_worker_is_shown_with_a_job_that_it_holds(
    client: FlaskClient, redis: Redis, queued: str
) -> None:
    Worker([QUEUE], connection=redis, name="worker-1").register_birth()
    redis.hset(f"rq:job:{queued}", mapping={"status": "started", "worker_name": "worker-1"})
    redis.zadd(f"rq:wip:{QUEUE}", {f"{queued}:1": 9_999_999_999})

    (shown,) = client.get("/rq/0/data/workers.json").json["workers"]

    assert shown["current_job"]["job_id"] == queued


@pytest.mark.usefixtures("queued")
def test_every_page_opens_and_runs_no_script_but_its_own(client: FlaskClient) -> None:
    for path in PAGES:
        answer = client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        nonce = re.search(r"'nonce-([^']+)'", policy)
        scripts = re.findall(r"<script[^>]*>", answer.text)

        assert answer.status_code == 200
        assert nonce and scripts
        assert all(f'nonce="{nonce[1]}"' in script for script in scripts)
        assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy


def test_pages_ask_nobody_else_for_anything(client: FlaskClient) -> None:
    for path in PAGES[:4]:
        for place in re.findall(r'(?:src|<link[^>]* href)="([^"]+)"', client.get(path).text):
            assert place.startswith("/rq/")
            with client.get(place) as answer:
                assert answer.status_code == 200


WRITES = [
    f"/rq/job/{ID}/delete",
    f"/rq/job/{ID}/requeue",
    f"/rq/requeue/{QUEUE}",
    f"/rq/queue/{QUEUE}/queued/empty",
    f"/rq/queue/{QUEUE}/compact",
    "/rq/refused/requeue_all",
    "/rq/refused/compact_queue",
]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *product(["GET", "POST", "DELETE"], WRITES),
        *product(["POST", "PUT"], PAGES + DATA),
    ],
)
def test_nothing_writes(
    client: FlaskClient, redis: Redis, queued: str, method: str, path: str
) -> None:
    before = {key: redis.dump(key) for key in redis.scan_iter()}

    answer = client.open(path, method=method)

    assert answer.status_code in (404, 405)
    assert {key: redis.dump(key) for key in redis.scan_iter()} == before


@pytest.mark.usefixtures("queued")
def test_looking_writes_nothing(client: FlaskClient, redis: Redis) -> None:
    before = {key: redis.dump(key) for key in redis.scan_iter()}

    for path in PAGES + DATA:
        assert client.get(path).status_code == 200

    assert {key: redis.dump(key) for key in redis.scan_iter()} == before


HOSTILE = "cos\nsystem\n(S'touch /tmp/harmed'\ntR."
HASHES: list[dict[str, Any]] = [
    {"data": "not json"},
    {"data": b"\xff\xfe", "origin": b"\xff"},
    {"data": b"x\x9c" + b"\x00" * 20},
    {"data": '["os.system",null,["touch /tmp/harmed"],{}]', "description": SCRIPT},
    {"data": "[]", "meta": HOSTILE, "result": HOSTILE},
    {"data": "[]", "created_at": "yesterday"},
    {"data": "[]", "status": "exploded"},
    {"data": "[]", "timeout": "soon", "result_ttl": "x"},
    {"data": "[]", "dependency_ids": "{"},
    {"data": "[]", "worker_name": b"\xff"},
    {"origin": "no data"},
]


@pytest.mark.parametrize("fields", HASHES, ids=str)
def test_a_hostile_job_is_left_out_or_made_harmless(
    client: FlaskClient, redis: Redis, queued: str, fields: dict[str, Any]
) -> None:
    plant(redis, "hostile", **fields)

    shown = jobs(client)
    whole = client.get("/rq/0/data/job/hostile.json")
    page = client.get("/rq/0/view/job/hostile")

    assert queued in [job["id"] for job in shown]
    assert whole.status_code in (200, 404)
    assert page.status_code in (200, 404)
    assert "<" not in json.dumps(shown) + whole.text


def test_no_text_from_redis_means_anything_to_html(client: FlaskClient, redis: Redis) -> None:
    attack = "<img src=x onerror=alert(1)>'\"&`"
    plant(redis, ID, data="[]", description=attack, origin=attack, exc_info=attack)
    name = f"rq:worker:{attack}"
    redis.sadd("rq:workers", name)
    redis.hset(
        name,
        mapping={
            "birth": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "queues": attack,
            "state": attack,
        },
    )

    texts = [client.get(path).text for path in (*DATA, f"/rq/0/data/job/{ID}.json")]

    assert not any(character in text for text in texts for character in "<>&'`")
    assert "onerror" in texts[2]


@pytest.mark.parametrize(
    "name",
    [
        SCRIPT,
        "default:normal<b>",
        "nocolon",
        "a:b:normal",
        b"\xff:normal",
        "é:normal",
        "",
        ":low",
    ],
)
def test_a_queue_that_is_not_ours_is_not_shown(
    client: FlaskClient, redis: Redis, queued: str, name: str | bytes
) -> None:
    redis.sadd("rq:queues", b"rq:queue:" + (name if isinstance(name, bytes) else name.encode()))

    (queue,) = client.get("/rq/0/data/queues.json").json["queues"]

    assert queue["name"] == QUEUE
    assert client.get("/rq/").status_code == 200
    assert client.get("/rq/0/view/jobs").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/rq/0/view/jobs/%3Cscript%3E/queued/8/asc/1",
        f"/rq/0/view/jobs/{QUEUE}/%3Cscript%3E/8/asc/1",
        f"/rq/0/view/jobs/{QUEUE}/queued/9999/asc/1",
        f"/rq/0/view/jobs/{QUEUE}/queued/8/%27/1",
        f"/rq/0/view/jobs/{QUEUE}/queued/8/asc/-1",
        "/rq/0/view/job/%3Cscript%3E",
        "/rq/0/view/job/a%5C",
        "/rq/7/view/queues",
        "/rq/nowhere",
        "/rqx/",
    ],
)
def test_arguments_beyond_the_bounds_are_not_found_and_not_echoed(
    client: FlaskClient, path: str
) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert "script" not in answer.text


@pytest.mark.parametrize("registry", REGISTRIES)
def test_a_key_of_the_wrong_type_is_said_to_be_unavailable_and_nothing_breaks(
    client: FlaskClient, redis: Redis, registry: str
) -> None:
    redis.set(f"{REGISTRIES[registry]}{QUEUE}", SCRIPT)

    answer = client.get(f"{JOBS}/{registry}/8/asc/1.json")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "script" not in answer.text


def test_without_redis_pages_say_so(client_without_redis: FlaskClient) -> None:
    assert client_without_redis.get("/rq/0/data/queues.json").status_code == 503
    assert client_without_redis.get("/rq/0/view/workers").status_code == 503
