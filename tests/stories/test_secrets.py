"""Canaries in secret fields reach their handler, and no log, dump, answer or page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from fuzz.service import Service, run, service
from tests.dumps import database_dump, redis_dump
from tests.eventually import eventually

pytestmark = pytest.mark.timeout(300)

CANARY = "canary-5f1c9a77"


class Target(BaseHTTPRequestHandler):
    """Notes the Authorization header of each request, and echoes nothing."""

    heard: list[str]

    def do_GET(self) -> None:
        self.heard.append(self.headers.get("Authorization", ""))
        self.send_response(500 if self.path == "/fail" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def target() -> Iterator[HTTPServer]:
    Target.heard = []
    server = HTTPServer(("127.0.0.1", 0), Target)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "leaky.py").write_text(LEAKY)
    with service(
        HTTP_ALLOW_NETWORKS="127.0.0.0/8",
        TASK_MODULES="leaky",
        PYTHONPATH=str(folder),
        LOG_LEVEL="debug",
    ) as found:
        yield found


LEAKY = '''
"""A handler that tells its secret wherever it can."""

import logging

from marshmallow import Schema, fields

from tasks.catalog import handles


class Leak(Schema):
    password = fields.String(required=True, metadata={"secret": True})


@handles("leak", Leak)
def leak(ctx, password):
    """Tell the secret to everybody."""
    ctx.progress(1, 2, f"with {password}")
    ctx.logger.warning("calling with %s", password)
    logging.getLogger("somewhere").error("still %r", {"password": password})
    raise RuntimeError(f"no such account: {password}") from ValueError(password)
'''


def ask(
    found: Service, method: str, path: str, body: Any = None, token: str = ""
) -> tuple[int, bytes]:
    """Ask as an admin, who may see payloads, or with another key."""
    request = Request(
        found.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {token or found.token}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except HTTPError as refusal:
        return refusal.code, refusal.read()


def finished(found: Service, task: dict[str, Any]) -> dict[str, Any]:
    """Submit a task and wait for its end."""
    status, said = ask(found, "POST", "/api/v1/tasks/", task)
    assert status == 201, said
    path = f"/api/v1/tasks/{json.loads(said)['id']}?wait=20"

    def over() -> dict[str, Any] | bool:
        task = json.loads(ask(found, "GET", path)[1])
        return task if task["finished_at"] else False

    return eventually(over, within=60)  # type: ignore[return-value]  # never False in the end


def http_request(target: HTTPServer, path: str) -> dict[str, Any]:
    return {
        "name": "http.request",
        "payload": {
            "url": f"http://127.0.0.1:{target.server_port}{path}",
            "secret_headers": {"Authorization": f"Bearer {CANARY}"},
        },
        "max_retries": 0,
    }


@pytest.fixture(scope="module")
def tasks(found: Service, target: HTTPServer) -> list[dict[str, Any]]:
    """Tasks with a canary each, at their ends."""
    leak = {"name": "leak", "payload": {"password": CANARY}, "max_retries": 0}
    return [
        finished(found, http_request(target, "/")),
        finished(found, http_request(target, "/fail")),
        finished(found, leak),
    ]


def test_the_handler_gets_what_was_submitted(tasks: list[dict[str, Any]]) -> None:
    assert Target.heard == [f"Bearer {CANARY}"] * 2
    assert [task["status"] for task in tasks] == ["succeeded", "failed", "failed"]


def test_whoever_may_see_payloads_sees_the_secret_there_and_nowhere_else(
    found: Service, tasks: list[dict[str, Any]]
) -> None:
    assert tasks[0]["payload"].pop("secret_headers") == {"Authorization": f"Bearer {CANARY}"}
    assert CANARY not in str(tasks[0])
    assert tasks[2]["payload"] == {"password": CANARY}
    assert tasks[2]["error"]["message"] == "no such account: ***"
    assert "ValueError: ***" in tasks[2]["error"]["traceback"]
    assert CANARY not in str(tasks[2] | {"payload": None})


def test_no_other_answer_and_no_page_shows_a_secret(
    found: Service, tasks: list[dict[str, Any]]
) -> None:
    paths = [
        "/api/v1/audit/",
        "/api/v1/task-types/",
        "/api/v1/monitoring/metrics",
    ]
    paths += ["/rq/", "/rq/0/data/jobs/default:normal/failed/8/asc/1.json", "/openapi.json"]
    for task in tasks:
        paths += [f"/api/v1/tasks/{task['id']}{part}" for part in ("/attempts", "/history")]
        paths += [f"/rq/0/view/job/{task['id']}", f"/rq/0/data/job/{task['id']}.json"]

    for path in paths:
        status, said = ask(found, "GET", path)
        assert status == 200 and CANARY.encode() not in said, path


def test_whoever_may_not_see_payloads_sees_no_secret(
    found: Service, tasks: list[dict[str, Any]]
) -> None:
    reader = found.make_key("tasks:read", "tasks:submit")
    for path in ("", *(task["id"] for task in tasks)):
        status, said = ask(found, "GET", f"/api/v1/tasks/{path}", token=reader)
        assert status == 200 and CANARY.encode() not in said and b"$sealed" not in said
    made = {"name": "leak", "payload": {"password": CANARY}, "delay": 3600}
    status, said = ask(found, "POST", "/api/v1/tasks/", made, token=reader)
    assert status == 201 and CANARY.encode() not in said


def test_no_log_tells_a_secret(found: Service, tasks: list[dict[str, Any]]) -> None:
    logs = [path.read_text() for path in found.log.parent.glob("*.log")]
    logs += [path.read_text() for path in found.log.parent.rglob("server.log")]

    assert any("calling with ***" in log for log in logs)
    assert any("{'password': '***'}" in log for log in logs)
    assert not any(CANARY in log for log in logs)


def test_no_dump_holds_a_secret(found: Service, tasks: list[dict[str, Any]]) -> None:
    database = database_dump(found.environ["DATABASE_URL"])

    assert tasks[0]["id"].encode() in database
    assert CANARY.encode() not in database
    assert CANARY.encode() not in redis_dump(found.environ["REDIS_URL"])


def test_no_file_of_the_service_holds_a_secret(found: Service, tasks: list[dict[str, Any]]) -> None:
    data = Path(found.environ["DATA_DIR"])

    assert not any(
        CANARY.encode() in path.read_bytes() for path in data.rglob("*") if path.is_file()
    )


def test_a_refused_payload_does_not_put_its_secret_into_a_log(found: Service) -> None:
    wrong = {"name": "leak", "payload": {"password": CANARY, "more": 1}}

    assert ask(found, "POST", "/api/v1/tasks/", wrong)[0] == 422
    assert CANARY not in found.log.read_text()


def test_after_a_rotation_the_old_key_is_no_longer_needed(
    found: Service, tasks: list[dict[str, Any]]
) -> None:
    new = run(found.environ, "api", "payload-key", "2").strip()
    both = {**found.environ, "PAYLOAD_KEYS": f"{new},{found.environ['PAYLOAD_KEYS']}"}
    assert b'"1.' in database_dump(found.environ["DATABASE_URL"])

    run(both, "jobs", "reseal")

    dump = database_dump(found.environ["DATABASE_URL"])
    assert b'"1.' not in dump and b'"2.' in dump
