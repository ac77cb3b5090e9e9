"""One table or partitions by week, with many finished tasks: `python -m benchmarks.partitions`.

Both live in databases of one server of their own and are asked in turn, by the service's own
statements. Half a year of finished tasks with empty payloads; 50,000,000 take 35 GB and half an
hour. Ids are ordered by time, so the partitions are ranges of ids and keep the primary key.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg2
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from benchmarks.systems.service import migrate
from benchmarks.usage import cpu_seconds
from dev.servers import Postgres
from settings import database_url
from tasks import leases, retention, search, store
from tasks.lifecycle import Move, Outcome, Status
from tasks.search import Filter, first_id_of
from tasks.store import Holder, Settlement

WEEKS = 26
ROUNDS, BATCHES, SET = 5, 20, 100
WORKER = "worker-1"
SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "512MB",
    "autovacuum": "off",  # it is measured apart
    "wal_level": "minimal",  # loading into a new table writes no log
    "max_wal_senders": 0,
}

# 2 % failed; one in 100,000 is of a rare kind and carries a label.
FINISHED = """
INSERT INTO {table} (id, name, payload, queue_name, priority, status, timeout, max_retries,
    attempt, failures, worker_id, pending_since, started_at, finished_at, labels, created_at,
    updated_at)
SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid,
    CASE WHEN i %% 100000 = 7 THEN 'rare' ELSE 'kind-' || i %% 5 END, '{{}}',
    CASE WHEN i %% 3 = 0 THEN 'mail' ELSE 'default' END, 'normal',
    CASE WHEN i %% 50 = 3 THEN 'failed' ELSE 'succeeded' END, 300, 0, 1, (i %% 50 = 3)::int,
    'worker-1', at, at, at, CASE WHEN i %% 100000 = 7 THEN '{{"team": "a"}}' ELSE '{{}}' END::jsonb,
    at, at
FROM (
    SELECT i, %(begun)s + interval '26 weeks' * ((i - 0.01) / %(count)s) AS at, md5(i::text) AS hash
    FROM generate_series(%(first)s, %(last)s) AS i
) AS made
"""
INDEXES = """
SELECT replace(indexdef, 'UNIQUE ', '') FROM pg_indexes
WHERE tablename = 'tasks' AND indexname <> 'tasks_pkey'
"""
LABELS = """
INSERT INTO task_labels (key, value, task_id)
SELECT key, value, id FROM tasks, jsonb_each_text(labels) WHERE labels <> '{}'
"""
TRIGGERS = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'tasks'::regclass"
COUNT_BEFORE_DROP = """
SELECT name, queue_name, priority, status, count(*) FROM tasks_of_week_1 GROUP BY 1, 2, 3, 4
"""


@dataclass
class Layout:
    """The same tasks in one table, or in a table for each week."""

    name: str
    parted: bool
    url: str
    begun: datetime
    ids: list[UUID] = field(default_factory=list)  # pending, as the measurements left them
    known: list[UUID] = field(default_factory=list)  # of tasks of any age

    def __post_init__(self) -> None:
        migrate(self.url)
        self.engine = create_engine(database_url(self.url), pool_size=1, max_overflow=0)

    @contextmanager
    def session(self) -> Iterator[Session]:
        with Session(self.engine) as session, session.begin():
            yield session

    @property
    def latest(self) -> str:
        """The table in which something happens."""
        return f"tasks_of_week_{WEEKS + 1}" if self.parted else "tasks"

    def backend(self) -> int:
        with self.session() as session:
            return int(session.scalar(text("SELECT pg_backend_pid()")) or 0)

    def week(self, number: int) -> datetime:
        return self.begun + timedelta(weeks=number)

    def load(self, rows: int) -> float:
        """Make half a year of finished tasks; return the seconds it took."""
        begun = time.perf_counter()
        with closing(psycopg2.connect(self.url)) as connection, connection:
            cursor = connection.cursor()
            cursor.execute("SET LOCAL jit = off")
            cursor.execute(INDEXES)
            indexes = [definition for (definition,) in cursor.fetchall()]
            cursor.execute(TRIGGERS)
            triggers = [definition for (definition,) in cursor.fetchall()]
            self._make_empty(cursor)
            for week in range(1, WEEKS + 1):
                table = f"tasks_of_week_{week}" if self.parted else "tasks"
                firsts = (rows * (week - 1) // WEEKS + 1, rows * week // WEEKS)
                values = {"count": rows, "begun": self.begun}
                values |= {"first": firsts[0], "last": firsts[1]}
                cursor.execute(FINISHED.format(table=table), values)
                if week % 5 == 1:
                    print(
                        f"{self.name}: week {week} after {time.perf_counter() - begun:.0f} s",
                        flush=True,
                    )
            keys = "ALTER TABLE tasks ADD PRIMARY KEY (id)"
            for statement in [keys, *indexes, LABELS, *triggers]:
                cursor.execute(statement)
        print(f"{self.name}: indexes after {time.perf_counter() - begun:.0f} s", flush=True)
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            if not self.parted:
                connection.cursor().execute("ALTER TABLE tasks SET (fillfactor = 80)")
            connection.cursor().execute("VACUUM (ANALYZE) tasks")
        return time.perf_counter() - begun

    def _make_empty(self, cursor: psycopg2.extensions.cursor) -> None:
        parts = "PARTITION BY RANGE (id)" if self.parted else "WITH (fillfactor = 100)"
        cursor.execute(
            f"CREATE TABLE made (LIKE tasks INCLUDING DEFAULTS INCLUDING CONSTRAINTS) {parts}"
        )
        cursor.execute("DROP TABLE tasks; ALTER TABLE made RENAME TO tasks")
        for week in range(WEEKS + 3) if self.parted else ():
            first = f"'{first_id_of(self.week(week - 1), 0)}'" if week else "MINVALUE"
            cursor.execute(
                f"CREATE TABLE tasks_of_week_{week} PARTITION OF tasks"
                f" FOR VALUES FROM ({first}) TO ('{first_id_of(self.week(week), 0)}')"
                f" WITH (fillfactor = {100 if week <= WEEKS else 80})"
            )

    def insert(self) -> int:
        for _ in range(BATCHES):
            with self.session() as session:
                store.insert_tasks(session, [a_row() for _ in range(1000)])
        return BATCHES * 1000

    def insert_one_by_one(self) -> int:
        for _ in range(20 * BATCHES):
            with self.session() as session:
                self.ids += store.insert_tasks(session, [a_row()])
        return 20 * BATCHES

    def analyze(self) -> int:
        """Count what is in the tables in which something happened, as autovacuum would by now."""
        with self.engine.begin() as connection:
            connection.execute(text(f"ANALYZE {self.latest}"))
        return 1

    def run(self) -> int:
        """Start and settle in sets, as a worker does."""
        with self.session() as session:
            rows = [a_row() for _ in range(50 * SET)]
            ids = [*self.ids, *store.insert_tasks(session, rows)]
        self.ids = []
        for first in range(0, len(ids), SET):
            some = ids[first : first + SET]
            with self.session() as session:
                started = store.start_many(session, map(str, some), WORKER, ["kind-1"])
            with self.session() as session:
                settled = store.settle_many(session, [a_word(each.id) for each in started])
            assert len(settled) == len(some)
        return len(ids)

    def find(self) -> int:
        """Look tasks of any age up by id."""
        for id in self.known:
            with self.session() as session:
                store.find(session, id)
        return len(self.known)

    def get_to_know(self, count: int) -> None:
        with self.session() as session:
            rows = [
                session.scalar(
                    text("SELECT id FROM tasks WHERE id > :id ORDER BY id LIMIT 1"),
                    {"id": first_id_of(self.week(0) + random.random() * timedelta(WEEKS * 7), 0)},
                )
                for _ in range(count)
            ]
        self.known = [id for id in rows if id]

    def page(self, which: Filter) -> int:
        for _ in range(10 * BATCHES):
            with self.session() as session:
                search.page(session, which, 50)
        return 10 * BATCHES

    def vacuum(self) -> int:
        """Clean up what ran, where it ran."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"VACUUM (INDEX_CLEANUP ON) {self.latest}"))
        return 1

    def prune(self) -> int:
        """Delete the oldest as the scheduler does, 1,000 at a time."""
        gone, since = 0, None
        for _ in range(BATCHES):
            with self.session() as session:
                keep = timedelta(weeks=WEEKS - 1)
                pruned = retention.prune(session, Status.SUCCEEDED, keep, 1000, since)
            gone, since = gone + pruned.n, pruned.until
        return gone

    def drop_a_week(self) -> int:
        """Count the oldest whole week for the tallies, and drop its table."""
        with self.session() as session:
            counted = session.execute(text(COUNT_BEFORE_DROP)).all()
            session.execute(text("DROP TABLE tasks_of_week_1"))
        return sum(row.count for row in counted)


def a_row() -> dict[str, object]:
    return {
        "id": uuid7(), "name": "kind-1", "payload": "{}", "queue_name": "default",
        "priority": "normal", "timeout": 300, "max_retries": 0, "labels": "{}",
    }  # fmt: skip


def a_word(id: str) -> Settlement:
    return Settlement(id, Holder(1, WORKER), Move.SUCCEED, Outcome.SUCCEEDED, result="1")


def steps(begun: datetime) -> dict[str, Callable[[Layout], int]]:
    long_ago = begun + timedelta(weeks=3)
    lists = {
        "list, newest": Filter(),
        "list, failed": Filter(status=Status.FAILED),
        "list, of a kind": Filter(name="kind-2"),
        "list, of a rare kind": Filter(name="rare"),
        "list, of no kind": Filter(name="unknown"),
        "list, of a label": Filter(label=("team", "a")),
        "list, of no label": Filter(label=("team", "nobody")),
        "list, nothing pending of a kind": Filter(name="kind-2", status=Status.PENDING),
        "list, long ago": Filter(created_before=long_ago),
        "list, failed long ago": Filter(created_before=long_ago, status=Status.FAILED),
    }
    return {
        "insert 1,000 at a time": Layout.insert,
        "insert one by one": Layout.insert_one_by_one,
        "analyze": Layout.analyze,
        "start and settle": Layout.run,
        "find by id": Layout.find,
        **{name: partial(Layout.page, which=which) for name, which in lists.items()},
        "prune 1,000 at a time": Layout.prune,
        "vacuum": Layout.vacuum,
    }


def measure(layout: Layout, step: Callable[[Layout], int], pid: int) -> tuple[float, float]:
    """Wall-clock time, and CPU time of PostgreSQL's process, of one of its things, in µs."""
    before, begun = cpu_seconds([pid]), time.perf_counter()
    count = step(layout) or 1
    took, used = time.perf_counter() - begun, cpu_seconds([pid]) - before
    return 1e6 * took / count, 1e6 * used / count


def compare(layouts: Sequence[Layout]) -> None:
    pids = {layout.name: layout.backend() for layout in layouts}
    for layout in layouts:
        with layout.session() as session:
            leases.register(
                session, WORKER, host="here", pid=1, queues=[], kinds=["kind-1"], concurrency=1,
                lease=timedelta(days=1),
            )  # fmt: skip
        layout.get_to_know(20 * BATCHES)
    print("\nµs of each: wall clock (PostgreSQL's CPU), medians")
    for what, step in steps(layouts[0].begun).items():
        found: dict[str, list[tuple[float, float]]] = {layout.name: [] for layout in layouts}
        for _ in range(1 if what in ("vacuum", "analyze") else ROUNDS):
            for layout in layouts:
                found[layout.name].append(measure(layout, step, pids[layout.name]))
        figures = "   ".join(
            f"{name} {statistics.median(wall for wall, _ in each):12,.0f}"
            f" ({statistics.median(cpu for _, cpu in each):12,.0f})"
            for name, each in found.items()
        )
        print(f"{what:32} {figures}", flush=True)
    for layout in layouts:
        if layout.parted:
            wall, cpu = measure(layout, Layout.drop_a_week, pids[layout.name])
            print(f"drop a week, for each of its tasks: {wall:.2f} ({cpu:.2f})")


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m benchmarks.partitions", description=__doc__)
    asked.add_argument("--rows", type=int, default=5_000_000)
    asked.add_argument("--folder", type=Path, help="where there is room; default: a temporary one")
    chosen = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="partitions-", dir=chosen.folder) as folder:
        Path(folder).chmod(0o755)
        place = Path(folder) / "postgres"
        with Postgres(place, settings=SETTINGS, temporary=True, patience=300) as server:
            begun = datetime.now(UTC) - timedelta(weeks=WEEKS)
            layouts = [
                Layout("one table", False, server.create("one_table"), begun),
                Layout("by week", True, server.create("by_week"), begun),
            ]
            with ThreadPoolExecutor() as threads:
                for taken in threads.map(lambda each: each.load(chosen.rows), layouts):
                    print(f"loaded in {taken:.0f} s")
            sizes(layouts)
            compare(layouts)


def sizes(layouts: Sequence[Layout]) -> None:
    for layout in layouts:
        with layout.session() as session:
            size = session.scalar(
                text("SELECT pg_size_pretty(pg_database_size(current_database()))")
            )
            print(f"{layout.name}: {size}")


if __name__ == "__main__":
    main()
