"""Health tells whether servers answer, quickly, to everybody, and nothing else."""

from __future__ import annotations

import time

import pytest
from flask.testing import FlaskClient

from tasks import database


@pytest.mark.parametrize(
    ("path", "checks"),
    [
        ("/health", {"db": "ok", "redis": "ok"}),
        ("/health/db", {"db": "ok"}),
        ("/health/redis", {"redis": "ok"}),
    ],
)
def test_all_is_well(client: FlaskClient, path: str, checks: dict[str, str]) -> None:
    answer = client.get(path)

    assert answer.status_code == 200
    assert answer.json == {"status": "ok", "checks": checks}


def test_without_the_database_only_its_own_checks_fail(client: FlaskClient) -> None:
    database.close()
    database.open("postgresql+psycopg2://nobody:secret@127.0.0.1:1/nothing")

    answers = {path: client.get(path) for path in ("/health", "/health/db", "/health/redis")}

    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/health": 503,
        "/health/db": 503,
        "/health/redis": 200,
    }
    assert answers["/health"].json == {
        "status": "unavailable",
        "checks": {"db": "unavailable", "redis": "ok"},
    }


def test_without_redis_only_its_own_checks_fail(client_without_redis: FlaskClient) -> None:
    began = time.monotonic()

    statuses = [
        client_without_redis.get(path).status_code
        for path in ("/health", "/health/db", "/health/redis")
    ]

    assert statuses == [503, 200, 503]
    assert time.monotonic() - began < 1
