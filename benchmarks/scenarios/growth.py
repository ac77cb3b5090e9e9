"""How everything goes once 5,000,000 tasks have finished and 500,000 wait on another queue name."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from benchmarks.crew import Crew
from benchmarks.grown import BACKLOG, grow
from benchmarks.load import post
from benchmarks.scenarios.drain import start_web
from benchmarks.scenarios.scenario import Measured, Scenario, Sizes, percentile
from benchmarks.stage import Place, Stage
from benchmarks.systems.service import LARGEST_BATCH, Service, migrated
from benchmarks.systems.system import System

QUEUE = {"WORKER_QUEUES": "default"}  # the backlog only stands there
MONITORING = "/api/v1/monitoring"
TASKS = "/api/v1/tasks"
CALM = 0.05  # CPU seconds in a second


class GrownService(Service):
    """The service on tables that were filled once and stay filled from turn to turn."""

    key = "service-grown"
    title = "the same on grown tables"

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)
        self._grown: Place | None = None

    def grow(self, stage: Stage, sizes: Sizes) -> None:
        if self._grown is None:
            url = stage.postgres.create("grown", migrated(stage))
            ticks = stage.ticks("grown")
            self._grown = Place(url, stage.redis.url_of(1), ticks, stage.folder)
            grow(self._grown, sizes.finished_rows, sizes.pending_rows)
            self.title = (
                f"on {sizes.finished_rows:,} finished and {sizes.pending_rows:,} pending rows"
            )

    @contextmanager
    def place(self, stage: Stage) -> Iterator[Place]:
        assert self._grown is not None
        ticks = stage.ticks("grown")
        try:
            yield replace(self._grown, ticks=ticks)
        finally:
            ticks.unlink()


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    assert isinstance(system, Service)
    if isinstance(system, GrownService):
        system.grow(stage, sizes)
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        port = start_web(crew, system, place)
        until_calm(crew)
        post(port, system.submission(), seconds=min(1, sizes.submit_seconds))
        stage.settle()
        single = post(port, system.submission(), seconds=0.6 * sizes.submit_seconds)
        batches = post(port, system.batch(), connections=4, requests=2 * sizes.batches)
        stage.settle()
        count = unfinished(place)
        crew.start(system.workers(place))
        crew.until(lambda: place.executed() >= count // 10, "a tenth drained")
        begun, started = place.executed(), time.perf_counter()
        crew.until(lambda: place.executed() >= count, f"{count} tasks executed", within=120)
        ended = crew.until(lambda: unfinished(place) == 0, f"{count} tasks recorded")
        looks = look(port, sizes.queries)
    return {
        "accepted_per_s": single.rate,
        "batch_accepted_per_s": batches.rate * LARGEST_BATCH,
        "tasks_per_s": (count - begun) / (ended - started),
        "slowest_query_p95_ms": max(looks.values()),
        **looks,
    }


def until_calm(crew: Crew) -> None:
    """Let the new scheduler compare the backlog with Redis, which it does once in its life."""

    def calm() -> bool:
        before = crew.cpu()["scheduler"]
        time.sleep(1)
        return crew.cpu()["scheduler"] - before < CALM

    crew.until(calm, "a calm scheduler", within=120)


def unfinished(place: Place) -> int:
    """Tasks that are not finished, the backlog left out."""
    ((count,),) = place.query(
        "SELECT (SELECT count(*) FROM tasks WHERE status = 'pending' AND queue_name = 'default')"
        " + (SELECT count(*) FROM tasks WHERE status = 'running')"
    )
    return int(count)


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


GROWTH = Scenario(
    "growth",
    "The same with 5,000,000 finished and 500,000 pending rows",
    [Service(**QUEUE), GrownService(**QUEUE)],
    measure,
)
