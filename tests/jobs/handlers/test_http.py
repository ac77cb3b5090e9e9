"""An HTTP request as a task: its result, what is tried again, and what travels with it."""

import json
import logging
from base64 import b64encode
from ipaddress import ip_network

import pytest

from jobs.handlers import http
from jobs.outgoing.addresses import Rules
from tasks import catalog
from tasks.errors import InvalidTask
from tasks.lifecycle import Move
from tests.jobs.handlers.conftest import TASK_ID
from tests.jobs.local_servers import Reply, speaking


@pytest.fixture(autouse=True)
def _loopback_is_allowed():
    http.configure(Rules((ip_network("127.0.0.0/8"),)))
    yield
    http.configure(Rules())


@pytest.fixture
def call(attempt, server):
    """One attempt to call the server's `/`."""
    return lambda number=1, **payload: attempt(
        "http.request", {"url": server.url + "/", **payload}, number=number
    )


def test_the_answer_is_the_result(call, server):
    server.reply("/", Reply(201, {"X-Colour": "red"}, "grün".encode()))

    result = call().result

    assert result["headers"].pop("x-colour") == "red"
    assert result["headers"].pop("content-length") == "5"
    assert {**result, "headers": None} == {
        "status": 201,
        "headers": None,
        "body": "grün",
        "body_encoding": "text",
        "truncated": False,
    }


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a\0b", b"\x1b[31m"])
def test_a_body_that_is_not_text_is_kept_as_base64(call, server, body):
    server.reply("/", Reply(200, {}, body))

    result = call().result

    assert (result["body"], result["body_encoding"]) == (b64encode(body).decode(), "base64")


def test_of_a_long_body_the_beginning_is_kept(call, server):
    server.reply("/", Reply(200, {}, b"x" + "ü".encode() * 200_000))  # cut within a character

    result = call().result

    assert result["truncated"]
    assert result["body_encoding"] == "text"
    assert result["body"] == "x" + "ü" * 131_071


def test_cookies_are_not_kept(call, server):
    server.reply("/", Reply(200, {"Set-Cookie": "session=canary"}))

    assert "set-cookie" not in call().result["headers"]


@pytest.mark.parametrize(
    ("payload", "body", "content_type"),
    [
        ({}, b"", None),
        ({"json": {"a": [1, "ü"]}}, b'{"a":[1,"\\u00fc"]}', "application/json"),
        ({"json": None}, b"null", "application/json"),
        ({"json": False}, b"false", "application/json"),
        ({"body": "grün"}, "grün".encode(), "text/plain; charset=utf-8"),
        ({"body": ""}, b"", "text/plain; charset=utf-8"),
        ({"body_base64": "AAEC"}, b"\0\1\2", "application/octet-stream"),
        ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, b"<a/>", "text/xml"),
    ],
)
def test_what_is_sent(call, server, payload, body, content_type):
    call(method="POST", **payload)

    [received] = server.received
    assert (received.method, received.body) == ("POST", body)
    assert received.headers.get("content-type") == content_type
    assert received.headers["content-length"] == str(len(body))


def test_a_request_tells_its_task_and_is_recognised_at_its_next_attempt(call, server):
    call(number=1)
    call(number=2)

    first, second = (received.headers for received in server.received)
    assert first["idempotency-key"] == second["idempotency-key"] != ""
    assert first["x-task-id"] == second["x-task-id"] == TASK_ID
    assert (first["x-task-attempt"], second["x-task-attempt"]) == ("1", "2")


def test_the_callers_headers_win(call, server):
    call(headers={"idempotency-key": "mine", "User-Agent": "me", "Accept": "text/plain"})

    [received] = server.received
    assert received.headers["idempotency-key"] == "mine"
    assert received.headers["user-agent"] == "me"
    assert received.headers["accept"] == "text/plain"


STATUSES = {
    200: Move.SUCCEED,
    204: Move.SUCCEED,
    299: Move.SUCCEED,
    300: Move.FAIL,
    302: Move.FAIL,  # to nowhere
    304: Move.FAIL,
    400: Move.FAIL,
    401: Move.FAIL,
    404: Move.FAIL,
    408: Move.RETRY,
    409: Move.FAIL,
    422: Move.FAIL,
    425: Move.RETRY,
    429: Move.RETRY,
    499: Move.FAIL,
    500: Move.RETRY,
    501: Move.RETRY,
    503: Move.RETRY,
    599: Move.RETRY,
}


@pytest.mark.parametrize("status", STATUSES)
def test_what_a_status_means(call, server, status):
    server.reply("/", Reply(status))

    assert call().report.move is STATUSES[status]


@pytest.mark.parametrize(
    ("status", "move"), [(404, Move.SUCCEED), (503, Move.SUCCEED), (200, Move.FAIL)]
)
def test_other_statuses_may_be_expected(call, server, status, move):
    server.reply("/", Reply(status))

    assert call(expected_statuses=[404, 503]).report.move is move


def test_an_unexpected_status_is_reported_in_words_without_the_path(call, server):
    server.reply("/secret", Reply(503, {}, b"canary"))

    error = call(url=server.url + "/secret?token=canary").error

    assert error["message"] == f"{server.url} answered 503 Service Unavailable."
    assert "canary" not in str(error)


def test_the_wait_is_what_the_server_asks_for(call, server):
    server.reply("/", Reply(503, {"Retry-After": "120"}))

    failed = call()

    assert failed.report.move is Move.RETRY
    assert 120 <= failed.report.wait <= 132
    assert "answered 503" in failed.error["message"]


def test_nobody_listening_is_tried_again(attempt):
    with speaking(lambda connection: None) as port:
        pass

    failed = attempt("http.request", {"url": f"http://127.0.0.1:{port}/"})

    assert failed.report.move is Move.RETRY
    assert failed.error["message"] == f"http://127.0.0.1:{port}: Connection refused."


def test_a_slow_server_is_tried_again(attempt):
    with speaking(lambda connection: connection.recv(10_000) and connection.recv(1)) as port:
        failed = attempt("http.request", {"url": f"http://127.0.0.1:{port}/", "timeout": 0.2})

    assert failed.report.move is Move.RETRY
    assert "no complete answer within 0.2 seconds" in failed.error["message"]


def test_a_forbidden_address_is_given_up_at_once(attempt):
    failed = attempt("http.request", {"url": "http://169.254.169.254/latest/meta-data/"})

    assert failed.report.move is Move.FAIL
    assert "HTTP_ALLOW_NETWORKS" in failed.error["message"]


def test_nothing_private_is_reached_unless_it_was_allowed(call, server):
    http.configure(Rules())

    assert call().report.move is Move.FAIL
    assert not server.received


def test_redirects_are_followed_as_far_as_asked(call, server):
    server.reply("/", Reply(307, {"Location": "/b"}))
    server.reply("/b", Reply(200, {}, b"here"))

    assert call(method="POST", json=1).result["body"] == "here"
    assert server.received[-1].body == b"1"
    assert call(max_redirects=0).report.move is Move.FAIL
    assert call(max_redirects=0, expected_statuses=[307]).result["status"] == 307


def test_secrets_appear_neither_in_logs_nor_in_errors(call, server, caplog):
    caplog.set_level(logging.DEBUG)
    server.reply("/", Reply(500, {"Set-Cookie": "canary-1"}, b"canary-2"))

    failed = call(
        method="POST",
        url=server.url + "/?canary-3",
        headers={"X-Trace": "canary-4"},
        secret_headers={"Authorization": "canary-5"},
        json="canary-6",
    )

    assert len(server.received) == 1
    assert "canary" not in caplog.text + json.dumps(failed.error)


REFUSED = [
    ({"url": "ftp://example.com/"}, "url", "must start with http:// or https://"),
    ({"url": "http://user:hunter2@example.com/"}, "url", "Authorization header"),
    ({"url": "http://2130706433/"}, "url", "four decimal numbers"),
    ({"url": "http://example.com/" + "x" * 8000}, "url", "8000"),
    ({"url": 5}, "url", "Not a valid string"),
    ({"method": "get"}, "method", "Must be one of"),
    ({"method": "CONNECT"}, "method", "Must be one of"),
    ({"method": "TRACE"}, "method", "Must be one of"),
    ({"method": "GET / HTTP/1.1\r\nX: y"}, "method", "Must be one of"),
    ({"headers": {"Host": "inside"}}, "headers", "set by the service"),
    ({"headers": {"content-LENGTH": "5"}}, "headers", "set by the service"),
    ({"headers": {"Transfer-Encoding": "chunked"}}, "headers", "set by the service"),
    ({"headers": {"Connection": "upgrade"}}, "headers", "set by the service"),
    ({"headers": {"Expect": "100-continue"}}, "headers", "set by the service"),
    ({"headers": {"X-Task-Id": "other"}}, "headers", "set by the service"),
    ({"headers": {"X-A\r\nX-B": "y"}}, "headers", "Not a valid header name"),
    ({"headers": {"": "y"}}, "headers", "Not a valid header name"),
    ({"headers": {"X A": "y"}}, "headers", "Not a valid header name"),
    ({"headers": {"X-A:": "y"}}, "headers", "Not a valid header name"),
    ({"headers": {"X-A": "y\r\nX-B: z"}}, "headers", "visible ASCII"),
    ({"headers": {"X-A": "y\n"}}, "headers", "visible ASCII"),
    ({"headers": {"X-A": "\0"}}, "headers", "visible ASCII"),
    ({"headers": {"X-A": " y"}}, "headers", "visible ASCII"),
    ({"headers": {"X-A": "ü"}}, "headers", "visible ASCII"),
    ({"headers": {"X-A": 5}}, "headers", "Not a valid string"),
    ({"headers": {"X-A": "x" * 8001}}, "headers", "8000"),
    ({"headers": {"X-A": "1", "x-a": "2"}}, "headers", "given twice"),
    ({"headers": {f"X-{n}": "y" for n in range(101)}}, "headers", "At most 100"),
    ({"headers": []}, "headers", "Not a valid mapping"),
    ({"secret_headers": {"Host": "inside"}}, "secret_headers", "set by the service"),
    ({"secret_headers": {"X-A": "y\r\nX-B: z"}}, "secret_headers", "visible ASCII"),
    ({"headers": {"X-A": "1"}, "secret_headers": {"x-a": "2"}}, "secret_headers", "given twice"),
    ({"json": 1, "body": "1"}, "body", "only one of json and body"),
    ({"body": "1", "body_base64": "AA=="}, "body_base64", "only one of body and body_base64"),
    ({"body_base64": "A"}, "body_base64", "Not valid base64"),
    ({"body_base64": "ü"}, "body_base64", "Not valid base64"),
    ({"expected_statuses": []}, "expected_statuses", "Length must be between"),
    ({"expected_statuses": [99]}, "expected_statuses", "200"),
    ({"expected_statuses": ["200"]}, "expected_statuses", "Not a valid integer"),
    ({"timeout": 0}, "timeout", "0.1"),
    ({"timeout": 301}, "timeout", "300"),
    ({"max_redirects": 11}, "max_redirects", "10"),
    ({"verify": False}, "verify", "Unknown field"),
]


@pytest.mark.parametrize(("payload", "field", "said"), REFUSED)
def test_what_may_not_be_sent_is_refused_at_submission(payload, field, said):
    with pytest.raises(InvalidTask) as refusal:
        catalog.kind("http.request").check({"url": "https://example.com/", **payload})

    messages = refusal.value.messages["payload"]
    assert list(messages) == [field]
    assert said in str(messages)
    assert "hunter2" not in str(messages)


def test_secret_headers_are_sent_like_the_others(call, server):
    call(headers={"X-Colour": "blue"}, secret_headers={"Authorization": "Bearer 3f8a"})

    [received] = server.received
    assert received.headers["x-colour"] == "blue"
    assert received.headers["authorization"] == "Bearer 3f8a"


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "Proxy-Authorisation", "Cookie", "X-Api-Key", "apikey", "X-Auth-Token"),
        *("PRIVATE-TOKEN", "X-Amz-Security-Token", "X-Secret", "X-Password", "X-Session-Id"),
    ],
)
def test_a_header_that_looks_like_a_credential_must_be_given_as_a_secret(name):
    kind = catalog.kind("http.request")
    kind.check({"url": "https://example.com/", "secret_headers": {name: "x"}})

    with pytest.raises(InvalidTask) as refusal:
        kind.check({"url": "https://example.com/", "headers": {name: "x"}})

    assert "secret_headers" in str(refusal.value.messages)


def test_only_secret_headers_are_secret():
    schema = catalog.kind("http.request").schema()

    assert [name for name, field in schema.fields.items() if field.metadata.get("secret")] == [
        "secret_headers"
    ]
