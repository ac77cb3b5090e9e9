"""Counts, ages and rates, from the record, for the whole cluster.

Counts come from the tallies that a trigger on `tasks` keeps, so their cost does not grow with the
number of tasks; they are exact, because they change in the transaction of the move itself.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, Select, Text, cast, func, select, text, union_all
from sqlalchemy.orm import Session

from tasks.lifecycle import FINISHED, Priority, Status
from tasks.models import QueueStat, Tally, Task, Worker, tally_deltas

# Upper bounds, in seconds, of the buckets of waits and runs, as in the trigger of migration 0006.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
BOUNDS = (*map(str, BUCKETS), "+Inf")


class Count(NamedTuple):
    """How many tasks made one change of status; `seconds` is the sum of their waits or runs."""

    name: str
    queue_name: str
    priority: Priority
    from_status: str  # "" when they were submitted
    to_status: str  # "" when they were pruned
    bucket: int  # index into BUCKETS of the first bound above; -1 where nothing was measured
    n: int
    seconds: float


@dataclass
class Histogram:
    """How long something took, in Prometheus's terms."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))  # not cumulative
    seconds: float = 0.0

    def add(self, bucket: int, n: int, seconds: float) -> None:
        self.buckets[min(max(bucket, 0), len(BUCKETS))] += n
        self.seconds += seconds

    def cumulative(self) -> list[int]:
        """How many took up to each of `BOUNDS`."""
        return list(accumulate(self.buckets))


@dataclass
class KindFigures:
    """What has happened to the tasks of one kind on one queue since the beginning."""

    name: str
    queue_name: str
    priority: Priority
    depth: dict[Status, int]  # tasks in each status now, pruned ones not counted
    submitted: int = 0
    finished: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(sorted(FINISHED), 0))
    retried: int = 0  # attempts after which the task was to be tried again
    wait: Histogram = field(default_factory=Histogram)  # pending → running
    run: Histogram = field(default_factory=Histogram)  # running → anything


@dataclass
class QueueFigures:
    """One RQ queue now."""

    queue_name: str
    priority: Priority
    pending: int
    running: int
    scheduled: int
    oldest_pending_seconds: float | None
    submitted_per_minute: float
    finished_per_minute: float
    workers: int


@dataclass
class WorkerFigures:
    """One living worker now."""

    name: str
    host: str
    pid: int
    state: str  # "busy", "idle", "stopping", or "silent" when its lease has run out
    queues: list[str]
    concurrency: int
    running: int
    succeeded: int
    failed: int
    started_at: datetime
    last_seen_at: datetime


def counts(session: Session) -> Iterator[Count]:
    """Every change of status so far, added up by kind, queue, change and bucket."""
    columns = ("name", "queue_name", "priority", "from_status", "to_status", "bucket")

    def part(table: Any) -> Select[Any]:
        return select(*(table.c[column] for column in (*columns, "n", "seconds")))

    both = union_all(part(Tally.__table__), part(tally_deltas)).subquery()
    keys = [both.c[column] for column in columns]
    statement = select(*keys, func.sum(both.c.n), func.sum(both.c.seconds)).group_by(*keys)
    for *key, n, seconds in session.execute(statement):
        name, queue_name, priority, from_status, to_status, bucket = key
        yield Count(
            name, queue_name, Priority(priority), from_status, to_status, bucket, int(n), seconds
        )


def kinds(session: Session) -> list[KindFigures]:
    """Depths, counters and histograms of every kind on every queue that ever had a task."""
    figures: dict[tuple[str, str, Priority], KindFigures] = {}
    for count in counts(session):
        key = (count.name, count.queue_name, count.priority)
        kind = figures.setdefault(key, KindFigures(*key, depth=dict.fromkeys(Status, 0)))
        if count.from_status:
            kind.depth[Status(count.from_status)] -= count.n
        else:
            kind.submitted += count.n
        if count.to_status:
            kind.depth[Status(count.to_status)] += count.n
        if count.to_status in FINISHED:
            kind.finished[Status(count.to_status)] += count.n
        if count.from_status == Status.RUNNING:
            kind.run.add(count.bucket, count.n, count.seconds)
            kind.retried += count.n if count.to_status == Status.SCHEDULED else 0
        if count.to_status == Status.RUNNING:
            kind.wait.add(count.bucket, count.n, count.seconds)
    return [figures[key] for key in sorted(figures)]


def queues(session: Session, of_kinds: Sequence[KindFigures]) -> list[QueueFigures]:
    """Depths, ages and rates of every queue that ever had a task, by name and urgency.

    The depths are those of the kinds, which are not counted anew.
    """
    depths: dict[tuple[str, Priority], dict[Status, int]] = defaultdict(
        lambda: dict.fromkeys(Status, 0)
    )
    for kind in of_kinds:
        for status, n in kind.depth.items():
            depths[kind.queue_name, kind.priority][status] += n
    ages = _oldest_pending(session, [key for key, depth in depths.items() if depth[Status.PENDING]])
    rates = _rates(session)
    limits = session.scalars(select(Worker.queues).where(Worker.expires_at > func.now())).all()
    order = list(Priority)
    return [
        QueueFigures(
            queue_name=name,
            priority=priority,
            pending=depth[Status.PENDING],
            running=depth[Status.RUNNING],
            scheduled=depth[Status.SCHEDULED],
            oldest_pending_seconds=ages.get((name, priority)),
            submitted_per_minute=rates.get((name, priority), (0.0, 0.0))[0],
            finished_per_minute=rates.get((name, priority), (0.0, 0.0))[1],
            workers=sum(1 for limit in limits if not limit or name in limit),
        )
        for (name, priority), depth in sorted(
            depths.items(), key=lambda item: (item[0][0], order.index(item[0][1]))
        )
    ]


def _oldest_pending(
    session: Session, keys: Sequence[tuple[str, Priority]]
) -> dict[tuple[str, Priority], float]:
    """Seconds for which the oldest pending task of each queue has waited, if there is one."""
    names, priorities = (cast([str(key[n]) for key in keys], ARRAY(Text)) for n in (0, 1))
    asked = func.unnest(names, priorities).table_valued("queue_name", "priority").render_derived()
    since = (
        select(func.min(Task.pending_since))
        .where(
            Task.status == Status.PENDING,
            Task.queue_name == asked.c.queue_name,
            Task.priority == asked.c.priority,
        )
        .scalar_subquery()
    )
    rows = session.execute(
        select(asked.c.queue_name, asked.c.priority, func.extract("epoch", func.now() - since))
    )
    return {
        (name, Priority(priority)): max(0.0, float(age))
        for name, priority, age in rows
        if age is not None
    }


def _rates(session: Session) -> dict[tuple[str, Priority], tuple[float, float]]:
    """Submitted and finished per minute: this one so far, and the rest of the last one."""
    rows = session.execute(
        select(
            QueueStat.queue_name,
            QueueStat.priority,
            QueueStat.minute == func.date_trunc("minute", func.now()),
            QueueStat.submitted,
            QueueStat.succeeded + QueueStat.failed + QueueStat.cancelled,
            func.extract("second", func.now()),
        ).where(QueueStat.minute >= func.date_trunc("minute", func.now() - timedelta(minutes=1)))
    )
    rates: dict[tuple[str, Priority], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for queue_name, priority, this_minute, submitted, finished, second in rows:
        share = 1.0 if this_minute else 1.0 - float(second) / 60
        before = rates[queue_name, Priority(priority)]
        rates[queue_name, Priority(priority)] = (
            round(before[0] + share * submitted, 3),
            round(before[1] + share * finished, 3),
        )
    return dict(rates)


def overdue(session: Session) -> float:
    """How late the most overdue scheduled task is, in seconds; 0 while none is."""
    late = func.extract("epoch", func.now() - func.min(Task.run_at))
    found = session.scalar(select(late).where(Task.status == Status.SCHEDULED))
    return max(0.0, float(found or 0))


def workers(session: Session) -> list[WorkerFigures]:
    """Every living worker, by name."""
    holding = (
        select(func.count())
        .select_from(Task)
        .where(Task.status == Status.RUNNING, Task.worker_id == Worker.id)
        .scalar_subquery()
    )
    rows: Sequence[Any] = session.execute(
        select(Worker, holding, Worker.expires_at < func.now()).order_by(Worker.id)
    ).all()
    return [_worker(worker, running, silent) for worker, running, silent in rows]


def _worker(worker: Worker, running: int, silent: bool) -> WorkerFigures:
    if silent:
        state = "silent"
    elif worker.stopping:
        state = "stopping"
    else:
        state = "busy" if running else "idle"
    return WorkerFigures(
        name=worker.id,
        host=worker.host,
        pid=worker.pid,
        state=state,
        queues=worker.queues,
        concurrency=worker.concurrency,
        running=running,
        succeeded=worker.succeeded,
        failed=worker.failed,
        started_at=worker.started_at,
        last_seen_at=worker.last_seen_at,
    )


def compact(session: Session) -> int:
    """Add the new changes of status to the tallies and to the minutes; return how many rows.

    One process at a time; a second one returns 0.
    """
    if not session.scalar(select(func.pg_try_advisory_xact_lock(COMPACTING))):
        return 0
    return session.scalar(COMPACT) or 0


COMPACTING = 7_231_001  # advisory lock
COMPACT = text(
    """
    WITH gone AS (DELETE FROM tally_deltas RETURNING *),
    total AS (
        INSERT INTO tallies AS t
            (name, queue_name, priority, from_status, to_status, bucket, n, seconds)
        SELECT name, queue_name, priority, from_status, to_status, bucket, sum(n), sum(seconds)
        FROM gone GROUP BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (name, queue_name, priority, from_status, to_status, bucket)
        DO UPDATE SET n = t.n + excluded.n, seconds = t.seconds + excluded.seconds
    ),
    minutes AS (
        INSERT INTO queue_stats AS q (minute, queue_name, priority, submitted, started, succeeded,
            failed, cancelled, retried, wait_seconds, run_seconds)
        SELECT date_trunc('minute', at), queue_name, priority,
            coalesce(sum(n) FILTER (WHERE from_status = ''), 0),
            coalesce(sum(n) FILTER (WHERE to_status = 'running'), 0),
            coalesce(sum(n) FILTER (WHERE to_status = 'succeeded'), 0),
            coalesce(sum(n) FILTER (WHERE to_status = 'failed'), 0),
            coalesce(sum(n) FILTER (WHERE to_status = 'cancelled'), 0),
            coalesce(sum(n) FILTER (WHERE from_status = 'running' AND to_status = 'scheduled'), 0),
            coalesce(sum(seconds) FILTER (WHERE to_status = 'running'), 0),
            coalesce(sum(seconds) FILTER (WHERE from_status = 'running'), 0)
        FROM gone GROUP BY 1, 2, 3
        ON CONFLICT (minute, queue_name, priority) DO UPDATE SET
            submitted = q.submitted + excluded.submitted,
            started = q.started + excluded.started,
            succeeded = q.succeeded + excluded.succeeded,
            failed = q.failed + excluded.failed,
            cancelled = q.cancelled + excluded.cancelled,
            retried = q.retried + excluded.retried,
            wait_seconds = q.wait_seconds + excluded.wait_seconds,
            run_seconds = q.run_seconds + excluded.run_seconds
    )
    SELECT count(*) FROM gone
    """
)
