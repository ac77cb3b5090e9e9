"""The load client counts whole answers, at full speed or at a pace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.client import complete
from benchmarks.load import Refused, post

REQUEST = {"path": "/tasks", "body": "{}"}


class Accepting(BaseHTTPRequestHandler):
    """Accepts what goes to /tasks and refuses the rest."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201 if self.path == "/tasks" else 503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Accepting) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (b"HTTP/1.1 201 Created\r\nContent-Le", False),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{", False),
        (b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nServer: x\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_counts_once_it_is_whole(answer: bytes, whole: bool) -> None:
    assert complete(answer) is whole


def test_it_sends_exactly_the_requests_asked_for(port: int) -> None:
    seen = post(port, REQUEST, connections=4, requests=50)

    assert seen.answers == 50
    assert seen.statuses == {"201": 50}


def test_it_keeps_the_pace(port: int) -> None:
    seen = post(port, REQUEST, connections=2, rate=100, seconds=0.3)

    assert seen.answers == 30
    assert 0.29 <= seen.seconds < 3


def test_a_refused_submission_is_no_figure(port: int) -> None:
    with pytest.raises(Refused, match="503"):
        post(port, {"path": "/elsewhere", "body": "{}"}, requests=1)
