"""The web process as the Procfile starts it: many at a time, slow clients, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from dev.servers import Redis
from tasks.broker import connect
from tasks.scripts import FINISHED
from tests.eventually import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
HELLO = b'{"name": "example_task", "payload": {"message": "hello"}}'
JSON = {"Content-Type": "application/json"}
SLOW_TO_SAY = """
import time

class Problem(Exception):
    def __repr__(self):
        time.sleep(1)
        return "this took a while"

raise Problem
"""


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


class Web:
    """`python -m api` on a port of its own."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self.log, self.port = log, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = environ | {"API_PORT": str(self.port)}
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "api"],
                cwd=ROOT,
                env=self.environ,
                stdout=log,
                stderr=log,
            )

    def ask(self, path: str, body: bytes | None = None, timeout: float = 10) -> dict[str, Any]:
        with urlopen(Request(self.url + path, body, JSON), timeout=timeout) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def is_healthy(self) -> bool:
        try:
            return self.ask("/health", timeout=2)["status"] == "ok"
        except OSError:
            return False

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    @property
    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


@pytest.fixture
def web(environ: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    web = Web(environ, tmp_path / "web.log")
    eventually(web.is_healthy, within=30)
    yield web
    web.process.kill()  # which takes its workers with it
    web.process.wait(timeout=30)


def test_it_answers_from_as_many_processes_as_the_settings_say(web: Web) -> None:
    assert len(web.workers) == 2
    with ThreadPoolExecutor(16) as clients:
        ids = list(clients.map(lambda _: web.ask("/api/v1/tasks/", HELLO)["id"], range(200)))
    assert len(set(ids)) == 200


def test_a_worker_that_dies_is_replaced(web: Web) -> None:
    before = {worker.pid for worker in web.workers}

    os.kill(min(before), signal.SIGKILL)

    eventually(lambda: len({worker.pid for worker in web.workers} - before) == 1)
    eventually(web.is_healthy)


def test_no_worker_outlives_the_main_process(web: Web) -> None:
    workers = web.workers

    web.process.kill()

    eventually(lambda: not any(worker.is_running() for worker in workers))


def test_none_outlives_it_though_another_hangs(web: Web) -> None:
    first, last = sorted(web.workers, key=lambda worker: worker.pid)
    last.suspend()  # it keeps open what the first could hear the main process's end by
    try:
        web.process.kill()

        eventually(lambda: not first.is_running(), within=5)
    finally:
        last.kill()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """One that nobody else listens to."""
    with Redis(tmp_path / "redis", temporary=True, settings={"save": '""'}) as server:
        yield server


def test_it_ends_at_once_and_answers_whoever_waits(
    environ: dict[str, str], own_redis: Redis, tmp_path: Path
) -> None:
    web = Web(environ | {"REDIS_URL": own_redis.url}, tmp_path / "web.log")
    with ThreadPoolExecutor(1) as clients, closing(connect(own_redis.url, patience=2)) as redis:
        try:
            eventually(web.is_healthy, within=30)
            id = web.ask("/api/v1/tasks/", HELLO)["id"]
            answer = clients.submit(web.ask, f"/api/v1/tasks/{id}?wait=60", None, 60)

            def waits() -> None:
                assert not answer.done(), answer.result()
                assert redis.pubsub_numsub(FINISHED) == [(FINISHED.encode(), 1)]

            eventually(waits)
            began = time.monotonic()

            web.end()

            assert answer.result(5)["status"] == "pending"
            assert time.monotonic() - began < 5
            assert web.process.returncode == 0
        finally:
            web.process.kill()


@pytest.mark.parametrize("said", ["Spawning worker-1", "Spawning worker-2", "Started worker-1"])
def test_it_ends_at_once_while_it_is_still_starting(
    environ: dict[str, str], tmp_path: Path, said: str
) -> None:
    web = Web(environ, tmp_path / "web.log")
    eventually(lambda: said in web.log.read_text(), within=30, every=0.001)
    began = time.monotonic()

    web.end()

    assert time.monotonic() - began < 5


def test_a_taken_port_is_refused_in_a_sentence(web: Web) -> None:
    assert web.start().wait(timeout=30) == 1
    assert f"Cannot listen on 127.0.0.1:{web.port}" in web.log.read_text()


def test_what_cannot_begin_ends_and_says_why_once(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "broken_kinds.py").write_text("import nothing_of_this_name\n")
    broken = {"TASK_MODULES": "broken_kinds", "PYTHONPATH": str(tmp_path)}

    web = Web(environ | broken, tmp_path / "web.log")

    assert web.process.wait(timeout=60) == 1
    said = web.log.read_text()
    assert said.count("the web server ends, it cannot begin: ModuleNotFoundError(") == 1
    assert "Respawning" not in said and "Started worker" not in said


def test_why_it_cannot_begin_is_said_whole_though_another_web_process_fails_too(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "broken_kinds.py").write_text(SLOW_TO_SAY)
    broken = {"TASK_MODULES": "broken_kinds", "PYTHONPATH": str(tmp_path), "WEB_PROCESSES": "2"}

    web = Web(environ | broken, tmp_path / "web.log")

    assert web.process.wait(timeout=60) == 1
    assert web.log.read_text().count("it cannot begin: this took a while") == 1


def test_a_body_in_chunks_is_read_whole_and_has_the_same_limit(web: Web) -> None:
    def send(chunks: list[bytes]) -> bytes:
        head = b"POST /api/v1/tasks/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        with web.connect() as connection:
            connection.sendall(head)
            for chunk in chunks:
                connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            connection.sendall(b"0\r\n\r\n")
            return connection.recv(10_000).partition(b"\r\n")[0]

    assert send([HELLO[:10], HELLO[10:]]) == b"HTTP/1.1 201 Created"
    assert send([b" " * 1_000_000] * 11).startswith(b"HTTP/1.1 413")


def test_a_large_body_arrives_whole(web: Web) -> None:
    tasks = [{"name": "example_task", "payload": {"message": "x" * 5_000}}] * 1000
    body = json.dumps({"tasks": tasks}).encode()

    assert len(web.ask("/api/v1/tasks/batch", body)["ids"]) == 1000


def test_clients_that_send_slowly_hold_nobody_up(web: Web) -> None:
    head = b"POST /api/v1/tasks/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(web.connect())
            connection.sendall(head if number % 2 else head + b"Content-Length: 100\r\n\r\n{")
        began = time.monotonic()

        for _ in range(20):
            web.ask("/api/v1/tasks/", HELLO)

        assert time.monotonic() - began < 5
