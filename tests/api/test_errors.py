"""Whatever goes wrong, a client reads what, in one shape, and the table of answers is complete."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api import create_app, errors
from jobs.handlers import SHIPPED
from settings import Settings
from tasks import catalog, database
from tasks import errors as words
from tasks.errors import TaskQueueError

TASKS = "/api/v1/tasks/"
HELLO = {"name": "example_task", "payload": {"message": "hello"}}
NEVER_IN_HTTP = {  # words that are said to operators, handlers or workers alone
    "TaskQueueError",
    "NoKeys",
    "ResultTooLarge",
    "UnfitServer",
    "UnreadableSecret",
}


def every_word() -> set[str]:
    return {
        name
        for name, word in vars(words).items()
        if isinstance(word, type) and issubclass(word, TaskQueueError)
    }


def test_every_word_has_its_answer_or_its_reason() -> None:
    answered = {word.__name__ for word in errors.REFUSALS}

    assert every_word() - answered == NEVER_IN_HTTP


@pytest.mark.parametrize("word", errors.REFUSALS, ids=lambda word: word.__name__)
def test_every_answer_has_an_example_in_the_shape(word: type[Exception]) -> None:
    example = errors.example(word)

    assert example["code"] == errors.status(word) in range(400, 600)
    assert example["status"] and example["message"]
    assert isinstance(example.get("errors", {}), dict)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/v1/tasks/x", 404),
        ("PUT", TASKS, 405),
        ("DELETE", "/health", 405),
        ("POST", "/api/v1/task-types/", 405),
    ],
)
def test_a_place_or_a_method_that_does_not_exist_is_refused_in_the_shape(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)

    assert answer.status_code == answer.json["code"] == status
    assert answer.json.keys() == {"code", "status", "message"}
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "says"),
    [
        (b"{}", None, 415, "application/json"),
        (b"{}", "text/plain", 415, "application/json"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "application/json"),
        (b"{}", "application/json; charset=latin-1", 415, "UTF-8"),
        (b"{}", "application/json; charset=utf-8", 422, "not valid"),
        (b"", "application/json", 400, "empty"),
        (b"{", "application/json", 400, "line 1, column 2"),
        (b'{"name": 1, "name": 2}', "application/json", 400, "twice"),
        (b'{"name": NaN}', "application/json", 400, "finite"),
        (b'{"name": "\xff"}', "application/json", 400, "UTF-8"),
        (b'{"name": "\\u0000"}', "application/json", 400, "NUL"),
        (b'{"name": "\\ud800"}', "application/json", 400, "surrogate"),
        (b"[" * 5000, "application/json", 400, "deep"),
        (b'{"name": 1' + b"0" * 30 + b"}", "application/json", 400, "64 bits"),
        (b"[]", "application/json", 422, "not valid"),
        (b'"task"', "application/json", 422, "not valid"),
        (b"null", "application/json", 422, "not valid"),
    ],
)
@pytest.mark.parametrize("path", [TASKS, f"{TASKS}batch"])
def test_a_body_that_is_not_what_we_take_is_refused_in_the_shape(
    client: FlaskClient, path: str, body: bytes, content_type: str | None, status: int, says: str
) -> None:
    answer = client.post(path, data=body, content_type=content_type)

    assert answer.status_code == answer.json["code"] == status
    assert says in answer.json["message"]


def test_a_body_is_refused_unread_when_it_says_that_it_is_too_large(client: FlaskClient) -> None:
    answer = client.post(
        TASKS,
        data=b"{}",
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "10485761"},
    )

    assert answer.status_code == 413
    assert answer.json["status"] == "Request Entity Too Large"


def test_a_body_of_unknown_length_is_refused_when_it_turns_out_too_large(app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 1000

    answer = app.test_client().post(
        TASKS,
        data=b" " * 2000,
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
    )

    assert answer.status_code == 413


def test_a_body_that_ends_too_early_is_refused(client: FlaskClient) -> None:
    answer = client.post(
        TASKS,
        data=b'{"name": "example_task", "payload": {"message": "hello"}}',
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "100"},
    )

    assert answer.status_code == 400


def test_what_nobody_foresaw_is_logged_and_tells_nothing(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise RuntimeError("a secret")

    broken.access = app.view_functions["health.check_db"].access  # type: ignore[attr-defined]
    app.add_url_rule("/broken", "broken", broken)

    answer = app.test_client().get("/broken")

    assert answer.status_code == 500
    assert answer.json["status"] == "Internal Server Error"
    assert "secret" not in answer.text
    assert "a secret" in caplog.text


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A port where somebody takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("away", ["refused", "silent"])
def test_while_the_database_is_away_the_answer_is_503_within_two_seconds(
    silent_server: int, redis_url: str, away: str
) -> None:
    catalog.load(SHIPPED)
    port = silent_server if away == "silent" else 1
    url = f"postgresql+psycopg2://nobody@127.0.0.1:{port}/nothing"
    client = create_app(Settings(database_url=url, redis_url=redis_url, auth=False)).test_client()
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", TASKS, {"json": HELLO}),
        ("POST", TASKS, {"json": HELLO, "headers": {"Idempotency-Key": "k"}}),
        ("POST", f"{TASKS}batch", {"json": {"tasks": [HELLO]}}),
        ("GET", TASKS, {}),
        ("GET", "/api/v1/monitoring/metrics", {}),
    ]

    for method, path, request in requests:
        began = time.monotonic()
        answer = client.open(path, method=method, **request)
        assert time.monotonic() - began < 2.5
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json["message"].startswith("The database does not answer")
    database.close()
