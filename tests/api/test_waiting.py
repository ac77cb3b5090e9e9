"""?wait= answers when the task is finished, and takes nobody else's place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tasks import actions
from tasks.lifecycle import Status
from tests.eventually import eventually

TASKS = "/api/v1/tasks/"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


def wait(
    app: Flask, threads: ThreadPoolExecutor, id: object, seconds: float
) -> Future[TestResponse]:
    return threads.submit(lambda: app.test_client().get(f"{TASKS}{id}?wait={seconds}"))


def waiting(app: Flask) -> int:
    """How many wait in this process."""
    return sum(map(len, app.extensions["waiting_room"]._waiters._waiting.values()))


def test_whoever_waits_is_answered_as_soon_as_the_task_is_finished(
    app: Flask, threads: ThreadPoolExecutor, a_task: Any
) -> None:
    task = a_task()
    answer = wait(app, threads, task.id, 30)
    eventually(lambda: waiting(app) == 1)

    ended = time.monotonic()
    actions.cancel(task.id)

    assert answer.result(10).json["status"] == "cancelled"
    assert time.monotonic() - ended < 0.5


def test_many_wait_for_one_task(app: Flask, threads: ThreadPoolExecutor, a_task: Any) -> None:
    app.extensions["waiting_room"]._seats = threading.BoundedSemaphore(16)
    task = a_task()
    answers = [wait(app, threads, task.id, 30) for _ in range(12)]
    eventually(lambda: waiting(app) == 12)

    actions.cancel(task.id)

    assert {answer.result(10).json["status"] for answer in answers} == {"cancelled"}


def test_when_the_seconds_are_up_the_task_is_answered_as_it_is(
    client: FlaskClient, a_task: Any
) -> None:
    task = a_task(Status.RUNNING)
    began = time.monotonic()

    answer = client.get(f"{TASKS}{task.id}?wait=0.3")

    assert answer.json["status"] == "running"
    assert 0.3 <= time.monotonic() - began < 2


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_a_finished_task_is_answered_at_once(
    client: FlaskClient, a_task: Any, status: Status
) -> None:
    task = a_task(status)
    began = time.monotonic()

    assert client.get(f"{TASKS}{task.id}?wait=30").json["status"] == status
    assert time.monotonic() - began < 1


def test_a_task_that_does_not_exist_is_not_waited_for(client: FlaskClient) -> None:
    began = time.monotonic()

    assert client.get(f"{TASKS}{uuid4()}?wait=30").status_code == 404
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("seconds", ["61", "-1", "soon", "1e1", "NaN", "inf", "", "1&wait=2"])
def test_nobody_waits_for_a_senseless_time(client: FlaskClient, a_task: Any, seconds: str) -> None:
    answer = client.get(f"{TASKS}{a_task().id}?wait={seconds}")

    assert answer.status_code == 422
    assert answer.json["errors"]["query"].keys() == {"wait"}


def test_when_all_seats_are_taken_the_next_is_answered_at_once(
    app: Flask, threads: ThreadPoolExecutor, a_task: Any
) -> None:
    task = a_task()
    app.extensions["waiting_room"]._seats = threading.BoundedSemaphore(1)
    first = wait(app, threads, task.id, 30)
    eventually(lambda: waiting(app) == 1)
    began = time.monotonic()

    assert app.test_client().get(f"{TASKS}{task.id}?wait=30").json["status"] == "pending"
    assert time.monotonic() - began < 1

    actions.cancel(task.id)
    assert first.result(10).json["status"] == "cancelled"
    assert app.extensions["waiting_room"]._seats.acquire(blocking=False)


def test_at_the_end_of_the_process_everybody_is_let_go(
    app: Flask, threads: ThreadPoolExecutor, a_task: Any
) -> None:
    answer = wait(app, threads, a_task().id, 30)
    eventually(lambda: waiting(app) == 1)

    app.extensions["waiting_room"].close()

    assert answer.result(2).json["status"] == "pending"


def test_a_wait_without_redis_ends_soon_after_the_task_does(
    client_without_redis: FlaskClient, threads: ThreadPoolExecutor, a_task: Any
) -> None:
    task = a_task()
    app = client_without_redis.application
    answer = wait(app, threads, task.id, 30)
    eventually(lambda: waiting(app) == 1)

    actions.cancel(task.id)

    assert answer.result(5).json["status"] == "cancelled"


def test_an_end_that_a_rerun_undid_is_waited_for_again(
    app: Flask, threads: ThreadPoolExecutor, a_task: Any
) -> None:
    task = a_task()
    waiters = app.extensions["waiting_room"]._waiters
    answer = wait(app, threads, task.id, 1)
    eventually(lambda: waiting(app) == 1)
    (event,) = waiters._waiting[task.id]

    event.set()

    eventually(lambda: not event.is_set(), within=0.9)
    assert answer.result(5).json["status"] == "pending"
