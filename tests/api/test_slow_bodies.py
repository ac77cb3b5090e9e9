"""Whose body does not come is shown out after enough looks; nobody else is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest

from api import slow_bodies
from api.schemas import LONGEST_WAIT
from api.slow_bodies import HURRY, PATIENCE, Watch
from tests.eventually import eventually

HEAD = b"POST / HTTP/1.1\r\n\r\n"
THREADS = 8
TWO = 2  # looks that it takes to find a body slow


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def watch(listener: socket.socket) -> Watch:
    return Watch(listener.getsockname()[1], THREADS)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


class Client:
    """A client whose request was read up to its body, and our end of its connection."""

    def __init__(self, listener: socket.socket, stack: ExitStack) -> None:
        self.socket = stack.enter_context(closing(socket.create_connection(listener.getsockname())))
        self.socket.sendall(HEAD)
        self.ours = stack.enter_context(closing(listener.accept()[0]))
        assert self.ours.recv(len(HEAD), socket.MSG_WAITALL) == HEAD
        self.environ: dict[str, Any] = {"wsgi.input": self, "REMOTE_ADDR": "127.0.0.1"}

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size and (more := self.ours.recv(size - len(found))):
            found += more
        return found


@pytest.fixture
def a_client(listener: socket.socket) -> Iterator[Callable[[], Client]]:
    with ExitStack() as stack:
        yield lambda: Client(listener, stack)


def begins(pool: ThreadPoolExecutor, *clients: Client) -> list[Future[bytes]]:
    """Threads that read ten bytes of body from each of these."""
    known = len(slow_bodies._reading)
    found = [pool.submit(slow_bodies.read, each.environ, 10) for each in clients]
    eventually(lambda: len(slow_bodies._reading) == known + len(clients))
    return found


def test_a_body_that_never_comes_ends_after_enough_looks(
    watch: Watch, pool: ThreadPoolExecutor, a_client: Callable[[], Client]
) -> None:
    (body,) = begins(pool, a_client())

    assert [watch.look() for _ in range(PATIENCE + TWO)] == [0] * (PATIENCE + 1) + [1]
    assert body.result(5) == b""


def test_a_body_of_a_byte_now_and_then_ends_as_well(
    watch: Watch, pool: ThreadPoolExecutor, a_client: Callable[[], Client]
) -> None:
    client = a_client()
    (body,) = begins(pool, client)

    for number in range(PATIENCE + TWO):
        if not number % 4:
            client.socket.send(b"x")
        watch.look()

    assert body.result(5).strip(b"x") == b""


def test_when_most_threads_are_held_there_is_less_patience(
    watch: Watch, pool: ThreadPoolExecutor, a_client: Callable[[], Client]
) -> None:
    bodies = begins(pool, *(a_client() for _ in range(THREADS // 2 + 1)))

    assert sum(watch.look() for _ in range(HURRY + TWO)) == len(bodies)
    assert [body.result(5) for body in bodies] == [b""] * len(bodies)


def test_a_client_that_was_answered_keeps_its_connection(
    watch: Watch, pool: ThreadPoolExecutor, a_client: Callable[[], Client]
) -> None:
    answered, slow = a_client(), a_client()
    begins(pool, slow)

    for _ in range(PATIENCE + TWO):
        answered.ours.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        watch.look()
    answered.socket.sendall(b"again")
    assert answered.ours.recv(5, socket.MSG_WAITALL) == b"again"


def test_a_client_that_waits_for_a_task_is_not_taken_for_a_slow_one(
    watch: Watch, pool: ThreadPoolExecutor, a_client: Callable[[], Client]
) -> None:
    patient, slow = a_client(), a_client()
    (body,) = begins(pool, slow)

    with slow_bodies.waiting(patient.environ):
        assert sum(watch.look() for _ in range(PATIENCE + TWO)) == 0
        assert sum(watch.look() for _ in range(LONGEST_WAIT - 1)) == 0

    slow.socket.sendall(b"0123456789")
    assert body.result(5) == b"0123456789"


def test_bodies_that_come_in_time_are_never_looked_for(
    watch: Watch, pool: ThreadPoolExecutor, a_client: Callable[[], Client]
) -> None:
    waits_for_us = a_client()

    for _ in range(PATIENCE + TWO):
        client = a_client()
        (body,) = begins(pool, client)
        assert watch.look() == 0
        client.socket.sendall(b"0123456789")
        assert body.result(5) == b"0123456789"

    waits_for_us.socket.sendall(b"!")
    assert waits_for_us.ours.recv(1) == b"!"


def test_a_thread_is_slow_only_while_it_reads_one_body(
    watch: Watch, pool: ThreadPoolExecutor, a_client: Callable[[], Client]
) -> None:
    client = a_client()
    told: list[bool] = []

    def read() -> bytes:
        found = slow_bodies.read(client.environ, 10)
        told.append(slow_bodies.is_slow())
        return found

    body = pool.submit(read)
    eventually(lambda: bool(slow_bodies._reading))
    for _ in range(TWO):
        watch.look()
    client.socket.sendall(b"0123456789")
    body.result(5)
    watch.look()

    assert told == [True]
    assert not slow_bodies._slow


@pytest.mark.parametrize(
    ("address", "spelled"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::0:1", "2001:db8::1"),
    ],
)
def test_an_address_has_one_spelling(address: str, spelled: str) -> None:
    assert slow_bodies.plain(address) == spelled


def test_the_other_end_is_the_proxy_if_there_is_one() -> None:
    forwarded = {
        "REMOTE_ADDR": "192.0.2.1",
        "werkzeug.proxy_fix.orig": {"REMOTE_ADDR": "10.0.0.1"},
    }

    assert slow_bodies.address_of(forwarded) == "10.0.0.1"
    assert threading.get_ident() not in slow_bodies._reading


def test_whoever_takes_nothing_of_an_answer_loses_the_connection(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_bodies, "TAKEN_WITHIN", 500)
    port = listener.getsockname()[1]
    assert not slow_bodies.limit_readers(1)

    assert slow_bodies.limit_readers(port)

    with socket.create_connection(("127.0.0.1", port)), closing(listener.accept()[0]) as ours:
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 100_000)

        def is_over() -> bool:
            try:
                ours.send(b"x")
            except BlockingIOError:
                return False
            except OSError:
                return True
            return False

        eventually(is_over)
