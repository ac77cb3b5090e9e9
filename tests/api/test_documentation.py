"""The documentation is served by us alone, and browsers are told to keep to that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

import api

STATIC = Path(api.__file__).parent / "static"


def test_the_page_asks_nobody_else_for_anything(client: FlaskClient) -> None:
    page = client.get("/docs")

    places = re.findall(r'(?:src|href|data-specification)="([^"]+)"', page.text)
    assert "/openapi.json" in places and len(places) == 5
    for place in places:
        assert place.startswith("/")
        with client.get(place) as answer:
            assert answer.status_code == 200


def test_the_page_runs_only_scripts_that_are_files_of_ours(client: FlaskClient) -> None:
    page = client.get("/docs")

    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert all(" src=" in script for script in re.findall(r"<script[^>]*>", page.text))


def test_the_front_door_leads_to_the_documentation(client: FlaskClient) -> None:
    assert client.get("/").headers["Location"] == "/docs"


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE"])
def test_the_terms_of_what_is_not_ours_come_with_it(name: str) -> None:
    assert (STATIC / "swagger-ui" / name).read_text()


@pytest.mark.parametrize(
    "path", ["/health", "/docs", "/openapi.json", "/nowhere", "/api/v1/tasks/", "/static/docs.js"]
)
def test_every_answer_keeps_browsers_from_guessing_and_framing(
    client: FlaskClient, path: str
) -> None:
    with client.get(path) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_an_answer_to_head_has_the_headers_and_no_body(client: FlaskClient) -> None:
    get, head = client.get("/health/db"), client.head("/health/db")

    assert head.data == b""
    assert head.headers["Content-Length"] == str(len(get.data))
