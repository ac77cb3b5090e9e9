"""Whatever a client sends, wherever it sends it, the answer is a 4xx that says so; never a 500."""

from __future__ import annotations

import gzip
import json
import re
from itertools import product
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from tests.api.test_scopes import calls, path_of

TASK = {"name": "example_task", "payload": {"message": "hi"}}
JSON = "application/json"

VALUES = (
    "", "%00", "a%00b", "%ff", "%ed%a0%80", "%f0%9f%98%80", "%0d%0aX-Evil:%201", "x" * 5000,
    "-1", "0", "1e999", "NaN", "99999999999999999999", "null", "{}", "[]", "%27%20OR%201=1--",
    "..%2f..%2fetc%2fpasswd", "%25s%25n", "a:b", "a:%00", ":", "a:", "2026-13-45T99:00:00Z",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00", "%e2%80%a8", "${jndi:x}",
)  # fmt: skip
HEADERS: tuple[tuple[str, str], ...] = (
    ("Accept", ";;;q=,,"),
    ("Accept", "application/openmetrics-text; version=9999.0; q=nan"),
    ("Accept", "text/plain; version=1.0.0; escaping=nonsense"),
    ("Accept", "*/*;" + "q=1;" * 1000),
    ("Accept-Language", "\xff\xfe"),
    ("Accept-Encoding", "x" * 5000),
    ("Cookie", "dtq=\xff; dtq; =; ;;"),
    ("Cookie", "dtq=" + "a." * 2000),
    ("X-Request-ID", "a\tb"),
    ("X-Request-ID", "x" * 5000),
    ("X-Forwarded-For", "\xff,,'"),
    ("X-Forwarded-Proto", "javascript"),
    ("Idempotency-Key", "\xff"),
    ("Idempotency-Key", ""),
    ("Idempotency-Key", "x" * 256),
    ("Range", "bytes=0-,5-1"),
    ("If-Modified-Since", "yesterday"),
    ("If-None-Match", '"' * 1000),
    ("Content-Length", "-1"),
    ("Content-Length", "x"),
    ("Expect", "nonsense"),
    ("Authorization", "Bearer \xff"),
    ("Host", "localhost:99999"),
)
BODIES: tuple[tuple[bytes, int], ...] = (
    (b"", 400),
    (b"\xff", 400),
    (b"\xef\xbb\xbf{}", 400),
    (b'{"name": NaN}', 400),
    (b'{"name": 1e400}', 400),
    (b'{"name": "a\\u0000"}', 400),
    (b'{"name": "\\ud800"}', 400),
    (b'{"name": "a", "name": "b"}', 400),
    (b'{"a":' * 40 + b"1" + b"}" * 40, 400),
    (b"[" * 200_000, 400),
    (b'{"name": 99999999999999999999}', 400),
    (b"{} {}", 400),
    (b"null", 422),
    (b"[]", 422),
    (b'"x"', 422),
    (b"0", 422),
    (b'{"unknown": 1}', 422),
    (b'{"__class__": {"__init__": {"__globals__": {}}}}', 422),
    (b'{"$where": "1"}', 422),
)


def without_server_error(client: FlaskClient, method: str, path: str, **request: Any) -> str | None:
    """What is wrong with the answer to this request; None if nothing is."""
    with client.open(path, method=method, **request) as answer:
        if answer.status_code >= 500 and path != "/sign-in":  # which has no SECRET_KEY here
            return f"{method} {path[:200]} {str(request)[:200]}: {answer.status_code}"
        if "X-Evil" in answer.headers:
            return f"{method} {path[:200]}: a header was smuggled in"
        if answer.status_code >= 400 and answer.mimetype == JSON:
            assert answer.json["code"] == answer.status_code
            assert "Traceback" not in answer.text
    return None


def queries_of(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Every path that is read, with each query parameter that it documents."""
    return [
        (path, parameter["name"])
        for path, operations in document["paths"].items()
        for parameter in operations.get("get", {}).get("parameters", ())
        if parameter["in"] == "query"
    ]


def test_hostile_query_strings(client: FlaskClient) -> None:
    task = client.post("/api/v1/tasks/", json=TASK).json["id"]
    asked = queries_of(client.get("/openapi.json").json)
    paths = [(path.replace("{task_id}", task), name) for path, name in asked]
    ids = {"{schedule_id}": task, "{key_id}": "nobody0000", "{queue_name}": "default"}

    found = []
    for (path, name), value in product(paths, VALUES):
        for placeholder, id in ids.items():
            path = path.replace(placeholder, id)
        found.append(without_server_error(client, "GET", f"{path}?{name}={value}"))

    assert [each for each in found if each] == []
    assert len(found) > 300


def test_hostile_headers(app: Flask, client: FlaskClient) -> None:
    found = [
        without_server_error(client, method, path_of(rule), headers=[header])
        for (method, rule), header in product(calls(app), HEADERS)
    ]

    assert [each for each in found if each] == []


@pytest.mark.parametrize(("body", "status"), BODIES, ids=lambda value: str(value)[:30])
def test_hostile_bodies_are_refused_by_every_endpoint_that_takes_one(
    app: Flask, client: FlaskClient, body: bytes, status: int
) -> None:
    takes_bodies = {
        (method.upper(), path)
        for path, operations in client.get("/openapi.json").json["paths"].items()
        for method, operation in operations.items()
        if isinstance(operation, dict) and "requestBody" in operation
    }

    tried = [
        (method, rule) for method, rule in calls(app) if (method, documented(rule)) in takes_bodies
    ]
    assert len(tried) == len(takes_bodies) > 5
    for method, rule in tried:
        answer = client.open(path_of(rule), method=method, data=body, content_type=JSON)
        expected = {status, 404} if rule.arguments else {status}
        if body == b"{}" or (status == 422 and rule.arguments):
            expected.add(200)
        assert answer.status_code in expected, (method, rule.rule, answer.json)
    assert client.get("/api/v1/tasks/").json["items"] == []


def documented(rule: Rule) -> str:
    """The rule's path as the OpenAPI document spells it."""
    return re.sub(r"<(?:[^:<>]+:)?([a-z_]+)>", r"{\1}", rule.rule)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
        "application/xml",
        "application/json; charset=utf-16",
        "application/jsonp",
        "text/json",
        "\xff",
    ],
)
def test_only_json_in_utf_8_is_read(client: FlaskClient, content_type: str) -> None:
    answer = client.post(
        "/api/v1/tasks/", data=json.dumps(TASK), headers={"Content-Type": content_type}
    )

    assert answer.status_code == 415


def test_a_compressed_body_is_not_unpacked(client: FlaskClient) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    headers = {"Content-Encoding": "gzip"}

    answer = client.post("/api/v1/tasks/", data=bomb, content_type=JSON, headers=headers)

    assert answer.status_code in (400, 415)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../settings.py",
        "/static/%2e%2e/settings.py",
        "/static/..%2f..%2fetc/passwd",
        "/static//etc/passwd",
        "/static/%00",
        "/rq/static/%2e%2e/%2e%2e/web.py",
        "/rq/..%2f",
    ],
)
def test_no_file_outside_the_static_folder_is_served(client: FlaskClient, path: str) -> None:
    with client.get(path) as answer:
        assert answer.status_code in (404, 405) or answer.location.endswith("/static/etc/passwd")


@pytest.mark.parametrize("path", ["/api/v1/tasks/%00", "/api/v1/keys/%ff", "/" + "x" * 20_000])
@pytest.mark.parametrize("method", ["GET", "POST", "TRACE", "CONNECT", "PROPFIND", "GET\x00"])
def test_hostile_paths_and_methods(client: FlaskClient, path: str, method: str) -> None:
    assert client.open(path, method=method).status_code in (404, 405)


def test_errors_do_not_echo_what_was_sent_at_length(client: FlaskClient) -> None:
    huge = {"name": "x" * 100_000, "payload": {"y" * 100_000: 1}, "z" * 100_000: 1}

    assert len(client.post("/api/v1/tasks/", json=huge).data) < 500_000


@pytest.mark.parametrize(
    "path", ["/api/v1/tasks?limit=1", "/api/v1/keys", "/api//v1//tasks/", "/rq"]
)
def test_no_redirect_leads_to_the_host_that_a_request_names(client: FlaskClient, path: str) -> None:
    for host in ("localhost:5000", "localhost"):
        answer = client.get(path, headers={"Host": host})

        assert answer.status_code == 308
        assert re.match("/[a-z]", answer.headers["Location"])


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x", ""])
def test_a_body_that_says_it_is_encoded_is_refused(client: FlaskClient, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}

    answer = client.post("/api/v1/tasks/", json=TASK, headers=headers)

    assert answer.status_code == 415
    assert client.get("/api/v1/tasks/").json["items"] == []
    plain = {"Content-Encoding": "identity"}
    assert client.post("/api/v1/tasks/", json=TASK, headers=plain).status_code == 201
