"""A thousand requests to a server that fails every fifth: all succeed, and all accounts agree."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.eventually import eventually
from tests.jobs.local_servers import Reply, WebServer, serving
from tests.stories.newcomer import Running, clone

RQ = Path(sys.prefix) / "bin" / "rq"
PRIORITIES = ["critical", "high", "normal", "low"]
TASKS = 1000
EACH = TASKS // len(PRIORITIES)


class ShakyServer(WebServer):
    """Answers 503 to every fifth request."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self.requests = self.refused = 0

    def next_reply(self, path: str) -> Reply:
        with self._lock:
            self.requests += 1
            if self.requests % 5 == 0:
                self.refused += 1
                return Reply(503)
        return Reply(body=b"done")


class Story:
    """The service, the server it calls, and the thousand tasks between them."""

    def __init__(self, running: Running, server: ShakyServer) -> None:
        self.running, self.server = running, server
        self.env = running.dev_env()
        self.ids: list[str] = []

    def rq(self, command: str) -> str:
        told = [RQ, command, "--url", self.env["REDIS_URL"]]
        return subprocess.run(told, capture_output=True, text=True, check=True).stdout

    def submit(self) -> None:
        """The least urgent first, while nobody works."""
        urls = (f"{self.server.url}/hooks/{number}" for number in range(TASKS))
        tasks = [
            {"name": "http.request", "payload": {"url": url}, "priority": priority}
            for url, priority in zip(urls, cycle(reversed(PRIORITIES)))
        ]
        self.ids = self.running.post("/api/v1/tasks/batch", {"tasks": tasks})["ids"]

    def every_task(self, **wanted: str) -> Iterator[dict[str, Any]]:
        asked = "&".join(["limit=200", *(f"{name}={value}" for name, value in wanted.items())])
        cursor = ""
        while True:
            page = self.running.get(f"/api/v1/tasks/?{asked}{cursor}")
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            cursor = f"&cursor={page['next_cursor']}"

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.env["DATABASE_URL"])) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return cursor.fetchall()

    def metric(self, name: str, **labels: str) -> float:
        with urlopen(f"{self.running.api}/api/v1/monitoring/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def states(self) -> set[str]:
        """What rq-dashboard says that workers do."""
        return {each["state"] for each in self.running.get("/rq/0/data/workers.json")["workers"]}


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Iterator[Story]:
    folder = clone(tmp_path_factory.mktemp("shaky") / "clone")
    with Running(folder) as running, serving(ShakyServer()) as server:
        told = Story(running, server)
        told.rq("suspend")
        eventually(lambda: told.states() == {"suspended"})
        told.submit()
        told.rq("resume")
        eventually(lambda: told.metric("dtq_tasks", status="succeeded") == TASKS, within=60)
        yield told


def test_all_of_them_succeed(story: Story):
    tasks = list(story.every_task())

    assert {task["id"] for task in tasks} == set(story.ids)
    assert Counter((task["priority"], task["status"]) for task in tasks) == {
        (priority, "succeeded"): EACH for priority in PRIORITIES
    }
    assert {task["result"]["body"] for task in tasks} == {"done"}


def test_each_request_was_made_by_one_recorded_attempt(story: Story):
    made = sorted(
        (each.headers["x-task-id"], int(each.headers["x-task-attempt"]))
        for each in story.server.received
    )

    assert made == sorted(story.sql("SELECT task_id::text, number FROM attempts"))


def test_the_history_shows_failed_attempts_with_their_errors_and_waits(story: Story):
    retried = [task for task in story.every_task() if task["attempts"] > 1]
    assert retried

    for task in retried[:20]:
        attempts = story.running.get(f"/api/v1/tasks/{task['id']}/attempts")["items"]
        moves = story.running.get(f"/api/v1/tasks/{task['id']}/history")["items"]

        *failed, last = attempts
        assert last["outcome"] == "succeeded" and last["error"] is None
        for attempt in failed:
            assert attempt["outcome"] == "failed"
            assert attempt["error"]["type"] == "Unavailable"
            assert "503" in attempt["error"]["message"]
        assert [move["move"] for move in moves] == [
            "submit",
            *(["start", "retry", "dispatch"] * len(failed)),
            "start",
            "succeed",
        ]
        for before, after in pairwise(moves):
            if before["move"] == "retry":
                longest = 2.0 ** (before["attempt"] - 1)  # seconds, as the kind says
                assert seconds(before["at"], after["at"]) <= longest + 1


def test_the_more_urgent_were_begun_first(story: Story):
    rows = story.sql(
        "SELECT priority, min(attempts.started_at), max(attempts.started_at)"
        " FROM tasks JOIN attempts ON task_id = tasks.id AND number = 1 GROUP BY priority"
    )
    begun = {priority: (first, last) for priority, first, last in rows}

    for urgent, less_urgent in pairwise(PRIORITIES):
        assert begun[urgent][1] <= begun[less_urgent][0]


def test_the_more_urgent_were_finished_first(story: Story):
    query = "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY finished_at), priority FROM tasks"
    middles = {priority: at for at, priority in story.sql(query + " GROUP BY priority")}

    assert sorted(PRIORITIES, key=middles.__getitem__) == PRIORITIES


def test_rest_sql_and_metrics_count_the_same(story: Story):
    refused = story.server.refused

    for priority in PRIORITIES:
        assert story.metric("dtq_tasks_finished_total", priority=priority) == EACH
    assert story.metric("dtq_tasks_submitted_total") == TASKS
    assert story.metric("dtq_tasks_retried_total") == refused
    assert story.metric("dtq_task_run_seconds_count") == story.server.requests
    assert story.sql("SELECT outcome, count(*) FROM attempts GROUP BY outcome ORDER BY 1") == [
        ("failed", refused),
        ("succeeded", TASKS),
    ]

    def workers_have_counted() -> None:
        [worker] = story.running.get("/api/v1/monitoring/workers")["items"]
        assert (worker["succeeded"], worker["failed"]) == (TASKS, refused)

    eventually(workers_have_counted)
    queues = story.running.get("/api/v1/monitoring/queues")["items"]
    assert [queue["rq_queue"] for queue in queues] == [f"default:{each}" for each in PRIORITIES]
    assert not any(queue["pending"] + queue["running"] + queue["scheduled"] for queue in queues)


def test_rq_info_and_the_dashboard_count_the_same(story: Story):
    def all_are_shown() -> None:
        shown = re.findall(
            r"default:(\w+) +\| 0, 0 executing, (\d+) finished, 0 failed", story.rq("info")
        )
        assert sorted(shown) == sorted((priority, str(EACH)) for priority in PRIORITIES)

    eventually(all_are_shown, every=0.5)
    queues = story.running.get("/rq/0/data/queues.json")["queues"]
    assert {each["name"]: each["finished_job_registry_count"] for each in queues} == {
        f"default:{priority}": EACH for priority in PRIORITIES
    }
    assert not any(each["count"] + each["failed_job_registry_count"] for each in queues)

    def the_worker_has_counted() -> None:
        [worker] = story.running.get("/rq/0/data/workers.json")["workers"]
        assert worker["successful_job_count"] == TASKS
        assert worker["failed_job_count"] == story.server.refused
        counts = f"jobs: {TASKS} finished, {story.server.refused} failed"
        assert re.search(rf"\(\S+ 127.0.0.1 \d+\): .*{counts}", story.rq("info"))

    eventually(the_worker_has_counted, every=0.5)


def seconds(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()
