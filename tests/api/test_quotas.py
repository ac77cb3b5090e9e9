"""A key submits at its rate, a queue holds its backlog; beyond that 429 says when to come again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from redis import Redis

from api import create_app
from jobs.handlers import SHIPPED
from settings import Settings
from tasks import catalog, database
from tasks.errors import TooManyTasks
from tasks.quotas import BUCKET, Quotas
from tests.api.guarded import Caller, make_key
from tests.eventually import eventually

TASK = {"name": "example_task", "payload": {"message": "hi"}}
LIMITS = r'"submissions";r=(\d+);t=(\d+)'

AppMaker = Callable[..., Flask]


@pytest.fixture
def app_with(postgres_url: str, redis_url: str) -> Iterator[AppMaker]:
    catalog.load(SHIPPED)
    database.open(postgres_url)
    make_key("admin")
    database.close()

    def make(**limits: Any) -> Flask:
        urls = {"database_url": postgres_url, "redis_url": redis_url}
        return create_app(Settings(**urls | limits))

    yield make
    database.close()


def batch(size: int) -> dict[str, Any]:
    return {"tasks": [TASK] * size}


def test_without_a_limit_no_header_tells_of_one(app_with: AppMaker) -> None:
    answer = Caller(app_with().test_client(), make_key("admin")).post("/api/v1/tasks/", json=TASK)

    assert answer.status_code == 201
    assert "RateLimit" not in answer.headers


def test_the_headers_tell_the_rate_and_what_is_left(app_with: AppMaker) -> None:
    caller = Caller(app_with(submit_rate=5).test_client(), make_key("admin"))

    first = caller.post("/api/v1/tasks/", json=TASK)
    second = caller.post("/api/v1/tasks/batch", json=batch(9))

    assert first.headers["RateLimit-Policy"] == '"submissions";q=50;w=10'
    assert first.headers["RateLimit"] == '"submissions";r=49;t=1'
    left, full_in = map(int, re.fullmatch(LIMITS, second.headers["RateLimit"]).groups())
    assert 40 <= left <= 41 and full_in == 2


def test_beyond_its_rate_a_key_waits_as_long_as_it_is_told(app_with: AppMaker) -> None:
    caller = Caller(app_with(submit_rate=2).test_client(), make_key("admin"))
    assert caller.post("/api/v1/tasks/batch", json=batch(21)).status_code == 201

    refused = caller.post("/api/v1/tasks/", json=TASK)

    assert refused.status_code == 429
    assert refused.json["message"] == "This API key may submit 2 tasks per second."
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["RateLimit"].startswith('"submissions";r=0;')
    eventually(lambda: caller.post("/api/v1/tasks/", json=TASK).status_code == 201, within=2)


def test_what_is_refused_is_not_stored(app_with: AppMaker) -> None:
    caller = Caller(app_with(submit_rate=0.1).test_client(), make_key("admin"))
    statuses = [caller.post("/api/v1/tasks/", json=TASK).status_code for _ in range(4)]

    assert statuses == [201, 429, 429, 429]
    assert len(caller.get("/api/v1/tasks/").json["items"]) == 1


def test_each_key_has_a_bucket_of_its_own_and_its_own_rate(app_with: AppMaker) -> None:
    app = app_with(submit_rate=0.1)
    one, other = (Caller(app.test_client(), make_key("tasks:submit")) for _ in range(2))
    fast = Caller(app.test_client(), make_key("tasks:submit", submit_rate=1000))

    assert [one.post("/api/v1/tasks/", json=TASK).status_code for _ in range(2)] == [201, 429]
    assert other.post("/api/v1/tasks/", json=TASK).status_code == 201
    assert {fast.post("/api/v1/tasks/", json=TASK).status_code for _ in range(20)} == {201}


def test_a_batch_larger_than_the_bucket_is_let_in_and_waited_for_afterwards(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        quotas = Quotas(redis, submit_rate=1)

        allowance = quotas.charge("k", None, 1000)

        assert allowance is not None
        assert (allowance.left, allowance.full_in) == (0, 1000)
        with pytest.raises(TooManyTasks) as refusal:
            quotas.charge("k", None, 1)
        assert 985 < refusal.value.retry_after <= 991


def test_an_unused_bucket_is_forgotten_once_it_is_full(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        Quotas(redis, submit_rate=10).charge("k", None, 10)

        assert 1 <= redis.ttl(BUCKET + "k") <= 3


@pytest.mark.parametrize("planted", [b"nonsense", {"left": "x", "at": "y"}, {"left": "1e999"}])
def test_nonsense_in_the_bucket_lets_everybody_in(redis_url: str, planted: Any) -> None:
    with Redis.from_url(redis_url) as redis:
        if isinstance(planted, dict):
            redis.hset(BUCKET + "k", mapping=planted)
        else:
            redis.set(BUCKET + "k", planted)

        Quotas(redis, submit_rate=1).charge("k", None, 1)


def test_while_redis_is_away_everybody_is_let_in_without_delay() -> None:
    with Redis.from_url("redis://127.0.0.1:1") as redis:
        quotas = Quotas(redis, submit_rate=0.001)

        assert [quotas.charge("k", None, 1) for _ in range(100)] == [None] * 100


def test_a_full_queue_takes_no_more_and_the_others_do(app_with: AppMaker) -> None:
    app = app_with(max_queue_backlog=3)
    caller = Caller(app.test_client(), make_key("admin"))
    assert caller.post("/api/v1/tasks/batch", json=batch(3)).status_code == 201

    eventually(lambda: caller.post("/api/v1/tasks/", json=TASK).status_code == 429)
    refused = caller.post("/api/v1/tasks/", json=TASK)

    assert "'default' has 3 undelivered tasks or more" in refused.json["message"]
    assert refused.headers["Retry-After"] == "5"
    later = TASK | {"delay": 3600}
    assert caller.post("/api/v1/tasks/", json=later).status_code == 429
    elsewhere = TASK | {"queue_name": "elsewhere"}
    assert caller.post("/api/v1/tasks/", json=elsewhere).status_code == 201
    assert caller.post("/api/v1/tasks/batch", json={"tasks": [elsewhere, TASK]}).status_code == 429


HOURLY = {"name": "hourly", "cron": "0 * * * *", "task": TASK, "starts_at": "2026-01-01T00:00:00Z"}
DAY = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}


def a_schedule(caller: Caller) -> str:
    made = caller.post("/api/v1/schedules/", json=HOURLY)
    assert made.status_code == 201, made.json
    return f"/api/v1/schedules/{made.json['id']}"


def left_after(answer: Any) -> int:
    return int(re.fullmatch(LIMITS, answer.headers["RateLimit"]).group(1))


def test_whatever_makes_a_task_is_charged_like_a_submission(app_with: AppMaker) -> None:
    caller = Caller(app_with(submit_rate=10).test_client(), make_key("admin"))
    path = a_schedule(caller)
    task = caller.post("/api/v1/tasks/", json=TASK)
    caller.post(f"/api/v1/tasks/{task.json['id']}/cancel")

    rerun = caller.post(f"/api/v1/tasks/{task.json['id']}/rerun")
    run = caller.post(f"{path}/run")
    looked = caller.post(f"{path}/backfill", json=DAY | {"dry_run": True})
    filled = caller.post(f"{path}/backfill", json=DAY)
    again = caller.post(f"{path}/backfill", json=DAY)

    assert left_after(task) == 99
    assert rerun.status_code == 200 and 98 <= left_after(rerun) <= 99
    assert run.status_code == 201 and 97 <= left_after(run) <= 99
    assert looked.status_code == 200 and "RateLimit" not in looked.headers
    assert filled.json["backfill"] | {"items": []} == {"dry_run": False, "count": 24, "items": []}
    assert 73 <= left_after(filled) <= 85
    assert again.status_code == 200 and "RateLimit" not in again.headers


@pytest.mark.parametrize("limits", [{"submit_rate": 0.1}, {"max_queue_backlog": 1}])
def test_beyond_its_limits_nothing_makes_a_task(
    app_with: AppMaker, limits: dict[str, float]
) -> None:
    caller = Caller(app_with(**limits).test_client(), make_key("admin"))
    path = a_schedule(caller)
    cancelled = caller.post("/api/v1/tasks/", json=TASK | {"queue_name": "q"})
    caller.post(f"/api/v1/tasks/{cancelled.json['id']}/cancel")
    for queue_name in ("default", "q"):
        more = TASK | {"queue_name": queue_name}
        eventually(lambda more=more: caller.post("/api/v1/tasks/", json=more).status_code == 429)
    stored = len(caller.get("/api/v1/tasks/").json["items"])

    refused = [
        caller.post(f"/api/v1/tasks/{cancelled.json['id']}/rerun"),
        caller.post(f"{path}/run"),
        caller.post(f"{path}/backfill", json=DAY),
    ]

    assert [answer.status_code for answer in refused] == [429] * 3
    assert all("Retry-After" in answer.headers for answer in refused)
    assert caller.post(f"{path}/backfill", json=DAY | {"dry_run": True}).status_code == 200
    assert len(caller.get("/api/v1/tasks/").json["items"]) == stored


def test_while_redis_is_away_reruns_runs_and_backfills_go_on(
    app_with: AppMaker,
) -> None:
    app = app_with(submit_rate=0.1, redis_url="redis://127.0.0.1:1/0")
    caller = Caller(app.test_client(), make_key("admin"))
    path = a_schedule(caller)

    assert [caller.post(f"{path}/run").status_code for _ in range(3)] == [201] * 3
    assert caller.post(f"{path}/backfill", json=DAY).json["backfill"]["count"] == 24


def test_a_task_that_the_key_may_not_see_is_not_found_whatever_its_limits(
    app_with: AppMaker,
) -> None:
    app = app_with(max_queue_backlog=1)
    made = Caller(app.test_client(), make_key("admin")).post("/api/v1/tasks/", json=TASK)
    bound = Caller(app.test_client(), make_key("tasks:manage", queues=["mail"]))

    assert bound.post(f"/api/v1/tasks/{made.json['id']}/rerun").status_code == 404
