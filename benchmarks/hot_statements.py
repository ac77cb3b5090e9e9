"""What insert, start and settle take: one task at a time, and in sets.

`python -m benchmarks.hot_statements`, on a PostgreSQL of its own; half a minute. One at a time,
through a session and prepared, in turns: medians, in microseconds. In sets, prepared: CPU time of
this process and of PostgreSQL's, in microseconds per task.
"""

import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from uuid_utils.compat import uuid7

from tasks import leases, store
from tasks.database import sessions
from tasks.lifecycle import Move, Outcome
from tasks.store import Holder, Settlement, Started
from tests.stories.exactly_once import service

T = TypeVar("T")
TASKS = 2_000
SET, ROUNDS, IN_SETS = 100, 3, 10_000
WORKER, KIND = "bench", "example_task"
STEPS = ("insert", "start", "settle")
WAYS = {"through a session": sessions.begin, "prepared, one message": sessions.express}


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hot-")))
        stack.enter_context(service(folder))
        with sessions.begin() as session:
            leases.register(
                session, WORKER, host="here", pid=1, queues=[], kinds=[KIND], concurrency=1,
                lease=timedelta(hours=1),
            )  # fmt: skip
        one_by_one()
        in_sets()


# -- one at a time ----------------------------------------------------------------------------


def one_by_one() -> None:
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(TASKS):
        for way in WAYS:
            one_task(way, took)
        if number == TASKS // 10:
            took.clear()  # that was to warm up
    print(f"{'µs':10}", *(f"{way:>22}" for way in WAYS))
    for step in STEPS:
        print(f"{step:10}", *(f"{statistics.median(took[step, way]) * 1e6:22.0f}" for way in WAYS))


def one_task(way: str, took: dict[tuple[str, str], list[float]]) -> None:
    row = a_row()
    begin, began = WAYS[way], time.perf_counter()
    with begin("") as session:
        store.insert_tasks(session, [row])
    inserted = time.perf_counter()
    with begin("") as session:
        (started,) = store.start_many(session, [str(row["id"])], WORKER, [KIND])
    claimed = time.perf_counter()
    with begin("") as session:
        store.settle_many(session, [success_of(started, result='{"a": 1}')])
    settled = time.perf_counter()
    took["insert", way].append(inserted - began)
    took["start", way].append(claimed - inserted)
    took["settle", way].append(settled - claimed)


# -- in sets ----------------------------------------------------------------------------------


def in_sets() -> None:
    ours: Counter[str] = Counter()  # nanoseconds
    theirs: Counter[str] = Counter()
    for number in range(ROUNDS + 1):
        if number == 1:
            ours, theirs = Counter(), Counter()  # the first was to warm up
        rows = [a_row() for _ in range(IN_SETS)]
        started: list[Started] = []
        with counted("insert", ours, theirs):
            for some in sets(rows):
                with sessions.express("") as session:
                    store.insert_tasks(session, some)
        with counted("start", ours, theirs):
            for some in sets([str(row["id"]) for row in rows]):
                with sessions.express("") as session:
                    started += store.start_many(session, some, WORKER, [KIND])
        with counted("settle", ours, theirs):
            for some in sets(started):
                with sessions.express("") as session:
                    store.settle_many(session, [success_of(each) for each in some])
    print(f"\n{f'in sets of {SET}':22} {'client, CPU µs':>16} {'PostgreSQL, CPU µs':>20}")
    for step in STEPS:
        tasks = ROUNDS * IN_SETS
        print(f"{step:22} {ours[step] / tasks / 1e3:16.1f} {theirs[step] / tasks / 1e3:20.1f}")


@contextmanager
def counted(step: str, ours: Counter[str], theirs: Counter[str]) -> Iterator[None]:
    """Add up what this block costs here, and what it costs the connection's server process."""
    own, server = time.process_time_ns(), of_server()
    yield
    ours[step] += time.process_time_ns() - own
    theirs[step] += of_server() - server


def of_server() -> int:
    """Nanoseconds of CPU that the server process of the hot connection has used."""
    with sessions.express("") as session, session._connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone() or (0,)
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def sets(all: Sequence[T]) -> Iterator[Sequence[T]]:
    return (all[first : first + SET] for first in range(0, len(all), SET))


def a_row() -> dict[str, object]:
    return {
        "id": uuid7(), "name": KIND, "payload": "{}", "queue_name": "default",
        "priority": "normal", "timeout": 60.0, "max_retries": 3, "labels": "{}",
    }  # fmt: skip


def success_of(started: Started, result: str | None = None) -> Settlement:
    holder = Holder(started.attempt, WORKER)
    return Settlement(started.id, holder, Move.SUCCEED, Outcome.SUCCEEDED, result=result)


if __name__ == "__main__":
    main()
