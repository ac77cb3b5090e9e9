"""Every list, filter and monitoring query, and how long each takes."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from typing import Any

from benchmarks.grown import BACKLOG
from benchmarks.scenarios.scenario import percentile

MONITORING = "/api/v1/monitoring"
TASKS = "/api/v1/tasks"


def look(port: int, times: int) -> dict[str, float]:
    """Ask every list, filter and monitoring query so many times; the p95 of each in ms."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        newest = get(connection, f"{TASKS}/?limit=50")
        page = get(connection, f"{TASKS}/?limit=50&created_before={days_ago(3)}")
        an_id = page["items"][0]["id"] if page["items"] else newest["items"][0]["id"]
        found = {}
        for name, path in queries(an_id, page["next_cursor"]).items():
            took = []
            for _ in range(times):
                begun = time.perf_counter()
                get(connection, path)
                took.append(1000 * (time.perf_counter() - begun))
            found[f"query_{name}"] = percentile(took, 0.95)
    return found


def queries(task_id: str, cursor: str | None) -> dict[str, str]:
    """Common and rare values, alone and combined, the newest and a page from the middle."""
    filters = [
        "limit=200", "status=succeeded", "status=failed", "status=cancelled", "status=pending",
        "status=running", "status=scheduled", "name=bench.echo", "name=bench.sleep",
        "queue_name=mail", f"queue_name={BACKLOG}", "priority=critical", "priority=low",
        "label=region:eu", "label=customer:17", "label=customer:nobody",
        "status=failed&name=bench.sleep", "status=failed&queue_name=mail&priority=critical",
        "status=pending&priority=critical", "status=cancelled&queue_name=reports",
        "label=region:eu&status=failed", "label=customer:17&queue_name=default",
        # old ones only, and none at all though there are many of each
        "name=bench.retired", "queue_name=retired", "queue_name=retired&status=failed",
        "label=era:old", "label=region:eu&name=bench.retired", "name=bench.unknown",
        "queue_name=unknown", "status=pending&name=bench.echo", "status=pending&queue_name=mail",
        f"status=succeeded&queue_name={BACKLOG}", f"priority=critical&queue_name={BACKLOG}",
        f"label=region:eu&queue_name={BACKLOG}", "label=era:old&priority=low",
    ]  # fmt: skip
    found = {f"tasks ?{each}": f"{TASKS}/?{each}" for each in ["", *filters]}
    found |= {
        "tasks of one day": f"{TASKS}/?created_after={days_ago(5)}&created_before={days_ago(4)}",
        "failed, critical tasks before a day":
            f"{TASKS}/?created_before={days_ago(5)}&status=failed&priority=critical",
        "pending tasks before a day": f"{TASKS}/?created_before={days_ago(5)}&status=pending",
    }  # fmt: skip
    if cursor:
        found["tasks, a page from the middle"] = f"{TASKS}/?limit=50&cursor={cursor}"
    found |= {f"task{each}": f"{TASKS}/{task_id}{each}" for each in ("", "/attempts", "/history")}
    return found | {each: f"{MONITORING}/{each}" for each in ("queues", "workers", "metrics")}


def days_ago(days: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 86400 * days))


def get(connection: http.client.HTTPConnection, path: str) -> Any:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body[:500]!r}")
    return json.loads(body) if body[:1] in b"{[" else body
