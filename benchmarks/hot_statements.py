"""What insert, start and settle take through a session, and prepared.

`python -m benchmarks.hot_statements`: one task at a time, in turns, on a PostgreSQL of its own;
medians, in microseconds. Half a minute.
"""

import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from uuid_utils.compat import uuid7

from tasks import leases, store
from tasks.database import sessions
from tasks.lifecycle import Move, Outcome
from tasks.store import Holder, Settlement
from tests.stories.exactly_once import service

TASKS = 2_000
WORKER, KIND = "bench", "example_task"
WAYS = {"through a session": sessions.begin, "prepared, one message": sessions.express}


def main() -> None:
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hot-")))
        stack.enter_context(service(folder))
        with sessions.begin() as session:
            leases.register(
                session, WORKER, host="here", pid=1, queues=[], kinds=[KIND], concurrency=1,
                lease=timedelta(hours=1),
            )  # fmt: skip
        for number in range(TASKS):
            for way in WAYS:
                one_task(way, took)
            if number == TASKS // 10:
                took.clear()  # that was to warm up
    print(f"{'µs':10}", *(f"{way:>22}" for way in WAYS))
    for step in ("insert", "start", "settle"):
        print(f"{step:10}", *(f"{statistics.median(took[step, way]) * 1e6:22.0f}" for way in WAYS))


def one_task(way: str, took: dict[tuple[str, str], list[float]]) -> None:
    row = {
        "id": uuid7(), "name": KIND, "payload": "{}", "queue_name": "default",
        "priority": "normal", "timeout": 60.0, "max_retries": 3, "labels": "{}",
    }  # fmt: skip
    begin, began = WAYS[way], time.perf_counter()
    with begin("") as session:
        store.insert_tasks(session, [row])
    inserted = time.perf_counter()
    with begin("") as session:
        (started,) = store.start_many(session, [str(row["id"])], WORKER, [KIND])
    claimed = time.perf_counter()
    holder = Holder(started.attempt, WORKER)
    end = Settlement(started.id, holder, Move.SUCCEED, Outcome.SUCCEEDED, result='{"a": 1}')
    with begin("") as session:
        store.settle_many(session, [end])
    settled = time.perf_counter()
    took["insert", way].append(inserted - began)
    took["start", way].append(claimed - inserted)
    took["settle", way].append(settled - claimed)


if __name__ == "__main__":
    main()
