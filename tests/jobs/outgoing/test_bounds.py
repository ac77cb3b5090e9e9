"""No server, however hostile, holds a request longer or fills it further than it was given."""

import ctypes
import socket
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address, ip_network

import pytest

from jobs.outgoing.addresses import Rules
from jobs.outgoing.client import Client, Request
from jobs.outgoing.errors import NoAnswer
from jobs.outgoing.target import parse
from tests.jobs.local_servers import Reply, speaking

GRANTED = 0.6  # seconds
TOLERATED = 0.6  # on top, on a busy machine


def get(url):
    return Request("GET", parse(url))


def drip(connection, text, every=0.05):
    while True:
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(every)


def silence(connection):
    connection.recv(10_000)
    connection.recv(10_000)  # until the client goes away


def slow_headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    drip(connection, b"X-A: b\r\n")


def slow_body(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    drip(connection, b"x")


def endless_interim_answers(connection):
    while True:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")


def never_reads(connection):
    time.sleep(GRANTED + TOLERATED)


@pytest.mark.parametrize(
    "script", [silence, slow_headers, slow_body, endless_interim_answers, never_reads]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_slow_server_is_left_when_the_time_is_up(client, script, scheme):
    with speaking(script) as port:
        request = Request("POST", parse(f"{scheme}://127.0.0.1:{port}/"), {}, b"x" * 30_000_000)
        started = time.monotonic()

        with pytest.raises(NoAnswer):
            client.send(request, seconds=GRANTED)

        assert time.monotonic() - started < GRANTED + TOLERATED


def test_the_time_is_for_all_redirects_together(client, server):
    url = server.reply("/", Reply(302, {"Location": "/"}))
    started = time.monotonic()

    with pytest.raises(NoAnswer, match="no complete answer within 0.3 seconds"):
        client.send(get(url), seconds=0.3, max_redirects=100_000)

    assert time.monotonic() - started < 0.3 + TOLERATED


def test_a_resolver_that_hangs_is_left_when_the_time_is_up():
    answered = threading.Event()

    def hangs(host, port):
        answered.wait()
        return []

    started = time.monotonic()
    with pytest.raises(NoAnswer):
        Client(lookup=hangs).send(get("http://example.com/"), seconds=GRANTED)
    spent = time.monotonic() - started
    answered.set()

    assert spent < GRANTED + TOLERATED


@contextmanager
def not_accepting(address, port=0):
    """A host that leaves every further connection waiting, as behind a firewall."""
    with socket.socket() as full, ExitStack() as others:
        full.bind((address, port))
        full.listen(0)
        for _ in range(4):  # they fill the queue of the listener
            waiting = others.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def test_a_host_that_does_not_accept_is_left_when_the_time_is_up(client):
    with not_accepting("127.0.0.1") as port:
        started = time.monotonic()

        with pytest.raises(NoAnswer):
            client.send(get(f"http://127.0.0.1:{port}/"), seconds=GRANTED)

        assert time.monotonic() - started < GRANTED + TOLERATED


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 needs to be set up")
def test_an_address_that_does_not_accept_leaves_time_for_the_next(server):
    both = [ip_address("127.0.0.2"), ip_address("127.0.0.1")]
    rules = Rules((ip_network("127.0.0.0/8"),))
    client = Client(rules, lookup=lambda host, port: both)

    with not_accepting("127.0.0.2", server.server_port):
        answer = client.send(get(f"http://two.example:{server.server_port}/"), seconds=1)

    assert answer.status == 200


def test_a_body_is_cut_at_the_limit(client, server):
    url = server.reply("/", Reply(200, {}, b"x" * 1001))

    answer = client.send(get(url), seconds=5, max_bytes=1000)

    assert (len(answer.body), answer.truncated) == (1000, True)


def test_a_body_of_just_the_limit_is_whole(client, server):
    url = server.reply("/", Reply(200, {}, b"x" * 1000))

    answer = client.send(get(url), seconds=5, max_bytes=1000)

    assert (len(answer.body), answer.truncated) == (1000, False)


def test_an_endless_body_is_cut_at_the_limit(client):
    def endless(connection):
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    with speaking(endless) as port:
        answer = client.send(get(f"http://127.0.0.1:{port}/"), seconds=5, max_bytes=100_000)

    assert (len(answer.body), answer.truncated) == (100_000, True)


def test_a_compressed_body_is_not_inflated(client, server):
    bomb = bytes.fromhex("1f8b") + b"\0" * 100
    url = server.reply("/", Reply(200, {"Content-Encoding": "gzip"}, bomb))

    assert client.send(get(url), seconds=5).body == bomb


def test_endless_headers_are_no_answer(client):
    def endless(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-A: " + b"b" * 1000 + b"\r\n")

    with speaking(endless) as port, pytest.raises(NoAnswer):
        client.send(get(f"http://127.0.0.1:{port}/"), seconds=5)


def test_an_interrupt_reaches_a_waiting_thread_within_a_second(client):
    """As the worker stops a cancelled handler: by an exception set from another thread."""
    ended = []
    waiting = threading.Event()

    class Stop(BaseException):
        pass

    def wait_for_an_answer(port):
        try:
            client.send(get(f"http://127.0.0.1:{port}/"), seconds=20)
        except BaseException as error:  # noqa: BLE001  # it is what the test is about
            ended.append((type(error), time.monotonic()))

    def silent(connection):
        connection.recv(10_000)
        waiting.set()
        connection.recv(10_000)

    with speaking(silent) as port:
        thread = threading.Thread(target=wait_for_an_answer, args=[port])
        thread.start()
        waiting.wait(5)
        interrupted = time.monotonic()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(Stop)
        )
        thread.join(5)

    [(what, when)] = ended
    assert what is Stop
    assert when - interrupted < 1
