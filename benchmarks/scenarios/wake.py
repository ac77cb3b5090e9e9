"""How long after the end of its handler a task's `?wait=` is answered."""

from __future__ import annotations

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from benchmarks.crew import Crew
from benchmarks.load import post
from benchmarks.scenarios.scenario import InTurn, Measured, Sizes, percentile, until_recorded
from benchmarks.stage import Stage
from benchmarks.systems.service import PATH, Service
from benchmarks.systems.system import System
from dev.servers import free_port

WAITING = 2  # at a time: as many as there are horses
SECONDS = 0.1  # long enough for the request to be waiting when the handler ends


def measure(stage: Stage, system: System, sizes: Sizes) -> Measured:
    assert isinstance(system, Service)
    port = free_port()
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        crew.start([*system.web(place, port), *system.workers(place)])
        crew.until_answers(port, "/")
        post(port, system.submission(), connections=4, requests=sizes.warm_up)
        until_recorded(crew, system, place, sizes.warm_up)
        with ThreadPoolExecutor(WAITING) as clients:
            share = [sizes.waits // WAITING] * WAITING
            rounds = clients.map(lambda count: waits(port, system, count), share)
            took = [each for one in rounds for each in one]
    return {f"p{share}_ms": 1000 * percentile(took, share / 100) for share in (50, 95, 99)}


def waits(port: int, service: Service, count: int) -> list[float]:
    """Submit a task and wait for it, so many times; seconds from its end to the answer."""
    asked = service.submission("bench.moment", seconds=SECONDS)
    took = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for _ in range(count):
            task = request(connection, "POST", asked["path"], asked["body"])
            task = request(connection, "GET", f"{PATH}{task['id']}?wait=30")
            took.append(time.time() - task["result"])
    return took


def request(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
) -> Any:
    connection.request(method, path, body, {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())


WAKE = InTurn("wake", "Long poll: answer after the end of the task", [Service()], measure)
