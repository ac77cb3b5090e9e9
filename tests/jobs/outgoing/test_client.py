"""What a client sends and what it makes of the answers, against a real server."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.outgoing.client import Request
from jobs.outgoing.errors import NoAnswer, Refused
from jobs.outgoing.target import parse
from tests.eventually import eventually
from tests.jobs.local_servers import Reply, speaking

OPEN_FILES = Path("/proc/self/fd")


def get(url, **headers):
    return Request("GET", parse(url), headers)


def test_a_request_arrives_as_it_was_made(client, server):
    request = Request("POST", parse(server.url + "/a?b=c"), {"X-Colour": "blue"}, b"hello")

    client.send(request, seconds=5)

    [received] = server.received
    assert (received.method, received.path, received.body) == ("POST", "/a?b=c", b"hello")
    assert received.headers == {
        "host": f"127.0.0.1:{server.server_port}",
        "x-colour": "blue",
        "content-length": "5",
        "connection": "close",
    }


def test_an_answer_comes_back_whole(client, server):
    url = server.reply("/", Reply(404, {"X-Colour": "red"}, b"nothing here"))

    answer = client.send(get(url), seconds=5)

    assert (answer.status, answer.body, answer.truncated) == (404, b"nothing here", False)
    assert answer.headers["x-colour"] == "red"


def test_headers_given_twice_are_joined(client):
    def twice(connection):
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nVia: a\r\nVia: b\r\nContent-Length: 0\r\n\r\n")

    with speaking(twice) as port:
        answer = client.send(get(f"http://127.0.0.1:{port}/"), seconds=5)

    assert answer.headers["via"] == "a, b"


def test_a_head_request_has_no_body(client, server):
    url = server.reply("/", Reply(200, {}, b"hello"))

    answer = client.send(Request("HEAD", parse(url)), seconds=5)

    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "5", b"")


def test_the_environments_proxy_is_not_used(client, server, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert client.send(get(server.url), seconds=5).status == 200


@pytest.mark.parametrize("value", ["a\r\nX-Injected: yes", "a\nb", "a\rb", "a\0b"])
def test_a_header_cannot_smuggle_another(client, server, value):
    with pytest.raises(Refused) as refusal:
        client.send(get(server.url, Authorization="hunter2" + value), seconds=5)

    assert "hunter2" not in str(refusal.value)
    assert not server.received


def test_nothing_of_a_header_is_logged_at_any_level(client, server, caplog):
    caplog.set_level(logging.DEBUG)
    url = server.reply("/", Reply(200, {"Set-Cookie": "canary-1"}))

    client.send(get(url, Authorization="canary-2"), seconds=5)

    assert "canary" not in caplog.text


def test_a_request_and_its_answer_do_not_show_their_secrets_when_printed(client, server):
    request = Request("POST", parse(server.url), {"Authorization": "canary"}, b"canary")
    server.reply("/", Reply(200, {"X-Token": "canary"}, b"canary"))

    assert "canary" not in repr(request) + repr(client.send(request, seconds=5))


@pytest.mark.parametrize(
    ("said", "reported"),
    [
        (b"", "Server disconnected without sending a response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "peer closed connection"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhalf",
            "conflicting Content-Length",
        ),
    ],
)
def test_what_is_not_an_answer_is_reported_without_quoting_it(client, said, reported):
    def script(connection):
        connection.recv(10_000)
        connection.sendall(said)

    with speaking(script) as port, pytest.raises(NoAnswer, match=reported) as failure:
        client.send(get(f"http://127.0.0.1:{port}/"), seconds=5)

    assert "OpenSSH" not in str(failure.value)


def test_an_answer_given_before_the_request_was_read_counts(client):
    def impatient(connection):
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    with speaking(impatient) as port:
        request = Request("POST", parse(f"http://127.0.0.1:{port}/"), {}, b"x")
        answer = client.send(request, seconds=5)

    assert answer.status == 413


def test_nobody_listening_is_no_answer(client):
    with speaking(lambda connection: None) as port:
        pass

    with pytest.raises(NoAnswer, match=f"http://127.0.0.1:{port}: Connection refused."):
        client.send(get(f"http://127.0.0.1:{port}/secret?token=canary"), seconds=5)


def test_threads_share_a_client(client, server):
    def ask(number):
        request = Request("POST", parse(server.url + f"/{number}"), {}, str(number).encode())
        return client.send(request, seconds=10).status

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(ask, range(200))) == {200}

    assert all(received.path == f"/{received.body.decode()}" for received in server.received)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # the server has threads
def test_a_client_crosses_a_fork(client, server):
    client.send(get(server.url + "/before"), seconds=5)

    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if client.send(get(server.url + "/child"), seconds=5).status == 200 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    client.send(get(server.url + "/after"), seconds=5)

    assert os.waitstatus_to_exitcode(status) == 0
    assert [received.path for received in server.received] == ["/before", "/child", "/after"]


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="only Linux shows a process's open files")
def test_no_connection_is_left_open(client):
    def silent(connection):
        connection.recv(10_000)

    def sockets():
        return [each for each in OPEN_FILES.iterdir() if each.is_socket()]

    with speaking(silent) as port:
        before = len(sockets())
        for _ in range(5):
            with pytest.raises(NoAnswer):
                client.send(get(f"http://127.0.0.1:{port}/"), seconds=5)
            with pytest.raises(NoAnswer):
                client.send(get(f"https://127.0.0.1:{port}/"), seconds=5)
        eventually(lambda: len(sockets()) <= before)
