"""One id goes with a request from its header to its answer, its logs and its task."""

from __future__ import annotations

import logging

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient

HEADER = "X-Request-ID"


def test_a_request_keeps_the_id_it_brings(client: FlaskClient) -> None:
    assert client.get("/health/db", headers={HEADER: "a-1"}).headers[HEADER] == "a-1"


def test_a_request_without_an_id_gets_one_of_its_own(client: FlaskClient) -> None:
    ids = {client.get("/health/db").headers[HEADER] for _ in range(2)}

    assert len(ids) == 2
    assert all(len(id) == 32 for id in ids)


@pytest.mark.parametrize("id", ["", "a b", "<script>", "x" * 129, "é", "a;b"])
def test_an_id_that_could_do_harm_in_a_log_is_replaced(client: FlaskClient, id: str) -> None:
    answer = client.get("/health/db", environ_overrides={"HTTP_X_REQUEST_ID": id})

    assert len(answer.headers[HEADER]) == 32


def test_errors_carry_the_id_as_well(client: FlaskClient) -> None:
    assert client.get("/nowhere", headers={HEADER: "a-2"}).headers[HEADER] == "a-2"


def test_the_id_is_bound_to_what_is_logged_inside_and_to_nothing_after(app: Flask) -> None:
    seen = []

    @app.before_request
    def look() -> None:
        seen.append(structlog.contextvars.get_contextvars())

    app.test_client().get("/health/db", headers={HEADER: "a-3"})

    assert seen == [{"request_id": "a-3"}]
    assert structlog.contextvars.get_contextvars() == {}
    assert logging.getLogger("api").handlers == []
