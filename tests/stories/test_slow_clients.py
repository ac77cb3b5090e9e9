"""Clients that send slowly, on purpose or not, keep nobody else waiting."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from statistics import quantiles
from urllib.parse import urlsplit

import pytest

from api.slow_bodies import LOOK, PATIENCE
from fuzz.service import Service, service

pytestmark = pytest.mark.timeout(300)

SOCKETS = 400  # more than one process has threads for
SECONDS = float(os.environ.get("SLOW_SECONDS", "3"))
DRIP = 0.5  # seconds between two bytes of each slow socket


@pytest.fixture(scope="module")
def found() -> Iterator[Service]:
    with service(works=False) as found:
        yield found


def opening_of(found: Service, kind: str) -> bytes:
    """How a slow request begins; it never ends."""
    host = urlsplit(found.url).netloc
    key = f"Authorization: Bearer {found.token}\r\n"
    sends = "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"
    chunks = sends.replace(
        "Content-Length: 5000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1388\r\n{"
    )
    return {
        "headers": f"GET /health HTTP/1.1\r\nHost: {host}\r\nX-Slow: ",
        "nothing": "",
        "body without a key": f"POST /api/v1/tasks/ HTTP/1.1\r\nHost: {host}\r\n{sends}",
        "body to sign in": f"POST /sign-in HTTP/1.1\r\nHost: {host}\r\n{sends}",
        "body with a key": f"POST /api/v1/tasks/ HTTP/1.1\r\nHost: {host}\r\n{key}{sends}",
        "body in chunks": f"POST /api/v1/tasks/ HTTP/1.1\r\nHost: {host}\r\n{key}{chunks}",
    }[kind].encode()


def slowly(sockets: list[socket.socket]) -> None:
    """One more byte on each."""
    for each in sockets:
        with suppress(OSError):  # it was shown out
            each.send(b"x")


def latencies(found: Service, seconds: float, slow: list[socket.socket]) -> list[float]:
    """How long requests take meanwhile, one after the other, each on a connection of its own."""
    host, taken = urlsplit(found.url), []
    ends, drips = time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < ends:
        if time.monotonic() > drips:
            slowly(slow)
            drips = time.monotonic() + DRIP
        connection = http.client.HTTPConnection(host.hostname, host.port, timeout=10)
        began = time.monotonic()
        connection.request(
            "GET", "/api/v1/tasks/", headers={"Authorization": f"Bearer {found.token}"}
        )
        assert connection.getresponse().status == 200
        taken.append(time.monotonic() - began)
        connection.close()
    return taken


def p99(taken: list[float]) -> float:
    return quantiles(taken, n=100)[98]


LOOKS = 3
KINDS = ("headers", "nothing", "body without a key", "body to sign in", "body with a key")


@pytest.mark.parametrize("kind", [*KINDS, "body in chunks"])
def test_slow_sockets_keep_nobody_waiting(found: Service, kind: str) -> None:
    for _ in range(LOOKS):  # what else runs on the machine may disturb one look, not all
        normal = p99(latencies(found, min(SECONDS, 5), []))
        meanwhile = p99(beside_slow_sockets(found, kind))
        print(f"{kind}: p99 {normal:.4f} s normally, {meanwhile:.4f} s meanwhile")  # noqa: T201  # with -s
        if meanwhile < 2 * normal + 0.02:
            return
    pytest.fail(f"p99 of others: {meanwhile:.4f} s beside slow sockets, {normal:.4f} s without")


def beside_slow_sockets(found: Service, kind: str) -> list[float]:
    """The latencies of others while so many sockets are slow in this way."""
    address = urlsplit(found.url)
    with ExitStack() as stack:
        slow = []
        for _ in range(SOCKETS):
            each = stack.enter_context(socket.create_connection((address.hostname, address.port)))
            each.settimeout(1)
            each.send(opening_of(found, kind))
            slow.append(each)
        return latencies(found, SECONDS, slow)


def test_whoever_does_not_send_the_body_is_told_so_and_shown_out(found: Service) -> None:
    address = urlsplit(found.url)
    with ExitStack() as stack:
        silent, dripping = (
            stack.enter_context(socket.create_connection((address.hostname, address.port)))
            for _ in range(2)
        )
        began = time.monotonic()
        for each in (silent, dripping):
            each.settimeout(0.5)
            each.send(opening_of(found, "body with a key"))
        while time.monotonic() < began + PATIENCE / 2:
            with pytest.raises(TimeoutError):
                dripping.recv(1)
            dripping.send(b" ")
        for each in (silent, dripping):
            each.settimeout(PATIENCE + 10 * LOOK)
            assert each.recv(1000).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
