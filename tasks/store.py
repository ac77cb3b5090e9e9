"""The only writer of a task's status, and only by a move.

Check and change are always one statement: the sources of the move are in its `WHERE`, so of two
rivals exactly one wins. A worker also names the attempt it holds (the fence): once presumed dead
and replaced, it can change nothing. The hot moves exist for sets: one statement, one commit.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Mapped, Session

from tasks import audit, statements
from tasks.broker import Delivery
from tasks.database import note_finished, note_pending
from tasks.errors import MoveRefused, TaskNotFound
from tasks.express import Express, execute
from tasks.lifecycle import FINISHED, Move, Outcome, Priority, Status
from tasks.models import Attempt, Task


class Holder(NamedTuple):
    """The fence: which attempt of a task is spoken of, and by whom it is held."""

    number: int
    worker_id: str


class Started(NamedTuple):
    """A task that a worker has just claimed; what it needs to run it."""

    id: str
    name: str
    payload: str  # JSON text, straight from the row
    queue_name: str
    priority: Priority
    attempt: int
    timeout: float
    max_retries: int
    failures: int
    crashes: int
    request_id: str | None


class Stored(NamedTuple):
    """What PostgreSQL decided about a new task."""

    id: UUID
    status: Status
    created_at: datetime
    run_at: datetime | None
    pending_since: datetime | None


class Settlement(NamedTuple):
    """What a worker, or the clock, says of an attempt at its end."""

    task_id: str
    holder: Holder
    move: Move
    outcome: Outcome
    result: str | None = None  # JSON text
    error: str | None = None  # JSON text of {"type", "message", "traceback"}
    wait: float | None = None  # seconds until the next attempt, for moves to scheduled


class Settled(NamedTuple):
    """A settlement that was accepted."""

    id: str
    name: str
    queue_name: str
    priority: Priority
    timeout: float
    status: Status


def find(session: Session, task_id: UUID) -> Task:
    """The task of this id, or `TaskNotFound`."""
    task = session.get(Task, task_id, populate_existing=True)
    if task is None:
        raise TaskNotFound()
    return task


def insert_tasks(session: Session | Express, rows: Sequence[dict[str, Any]]) -> dict[UUID, Stored]:
    """Store new tasks in one statement; those that are due are pushed after the commit.

    A row is a dict of `Task` columns, with `payload` and `labels` as JSON text, and with `delay`
    (seconds) or `run_at`. PostgreSQL's clock decides whether that is still to come: scheduled, else
    pending.
    """
    ids = [str(row["id"]) for row in rows]
    values = {name: [row.get(name) for row in rows] for name in statements.NEW} | {"id": ids}
    answers = {str(row[0]): row[1:] for row in execute(session, statements.INSERT, values)}
    stored = {row["id"]: Stored(row["id"], *answers[id]) for id, row in zip(ids, rows, strict=True)}
    note_pending(
        session,
        [
            Delivery(id, row["name"], row["queue_name"], row["priority"], row["timeout"])
            for id, row in zip(ids, rows, strict=True)
            if stored[row["id"]].status == Status.PENDING
        ],
    )
    return stored


def advance(
    session: Session, task_id: UUID, move: Move, *, holder: Holder | None = None, **changes: Any
) -> tuple[Task, Status]:
    """Make one move; return the task and where it was, or raise `MoveRefused` or `TaskNotFound`."""
    here = select(Task.id, Task.status, Task.pending_since).where(
        Task.id == task_id, Task.status.in_(move.sources)
    )
    if holder is not None:
        here = here.where(Task.attempt == holder.number, Task.worker_id == holder.worker_id)
    before = here.with_for_update().cte("before")
    statement = (
        update(Task)
        .where(Task.id == before.c.id)
        .values(**statements.changes_of(move), **changes)
        .returning(Task, before.c.status)
    )
    row = session.execute(statement, execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        found = find(session, task_id)
        raise MoveRefused(move, task_id, found.status, found.attempt)
    task, was = row
    if was == Status.RUNNING and move is Move.CANCEL:
        end_attempt(session, task, move, Outcome.CANCELLED)
    note(session, [_settled(task)], front=False)
    return task, Status(was)


def end_attempt(session: Session, task: Task, move: Move, outcome: Outcome) -> None:
    session.execute(
        insert(Attempt).values(
            task_id=task.id,
            number=task.attempt,
            worker_id=task.worker_id,
            pending_since=task.pending_since,
            started_at=task.started_at,
            outcome=outcome,
            move=move.name.lower(),
        )
    )


def dispatch_due(session: Session, limit: int) -> list[Settled]:
    """Make up to `limit` tasks pending whose time has come, the longest due first."""
    due = _sweep(session, Move.DISPATCH, Task.run_at, limit)
    return [settled for settled, *_ in due]


def expire(session: Session, limit: int) -> list[Settled]:
    """Cancel up to `limit` tasks that nobody started before they expired."""
    late = _sweep(session, Move.EXPIRE, Task.expires_at, limit)
    audit.record_all(
        session,
        [
            audit.of_move(audit.CLOCK, Move.EXPIRE, settled.id, was, pending_since)
            for settled, was, pending_since in late
        ],
    )
    return [settled for settled, *_ in late]


def _sweep(
    session: Session, move: Move, when: Mapped[datetime | None], limit: int
) -> list[tuple[Settled, Status, datetime | None]]:
    """Make one of the clock's moves where its time has come; also say where each task was before.

    Rows that others hold are skipped, so any number of schedulers share the work.
    """
    here = (
        select(Task.id, Task.status, Task.pending_since, when.label("due"))
        .where(Task.status.in_(move.sources), when <= func.now())
        .order_by(when)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("here")
    )
    statement = (
        update(Task)
        .where(Task.id == here.c.id)
        .values(**statements.changes_of(move))
        .returning(
            *statements.DELIVERY, Task.status, here.c.status, here.c.pending_since, here.c.due
        )
    )
    rows = sorted(session.execute(statement), key=lambda row: row.due)
    swept = [(Settled(str(row[0]), *row[1:-3]), *row[-3:-1]) for row in rows]
    note(session, [settled for settled, *_ in swept], front=False)
    return swept


def start_many(
    session: Session | Express, ids: Iterable[str], worker_id: str, kinds: Collection[str]
) -> list[Started]:
    """Claim these tasks for a worker; those that are not pending, or of another kind, are left out.

    Nothing is claimed when the worker's lease has run out.
    """
    values = {"ids": list(ids), "worker": worker_id, "kinds": list(kinds)}
    rows = execute(session, statements.START, values)
    return [_started(row) for row in rows]


def _started(row: Sequence[Any]) -> Started:
    return Started._make((str(row[0]), *row[1:4], Priority(row[4]), *row[5:]))


def settle_many(session: Session | Express, settlements: Sequence[Settlement]) -> list[Settled]:
    """End these attempts, each by its own move, and write their records; return the accepted.

    One that is missing from the answer changed nothing: its attempt is no longer held.
    """
    rows = execute(
        session,
        statements.SETTLE,
        {
            "ids": [each.task_id for each in settlements],
            "numbers": [each.holder.number for each in settlements],
            "workers": [each.holder.worker_id for each in settlements],
            "moves": [each.move.name.lower() for each in settlements],
            "statuses": [str(each.move.target) for each in settlements],
            "outcomes": [str(each.outcome) for each in settlements],
            "results": [each.result for each in settlements],
            "errors": [each.error for each in settlements],
            "waits": [each.wait for each in settlements],
        },
    )
    settled = [
        Settled(str(id), name, queue_name, Priority(priority), timeout, Status(status))
        for id, name, queue_name, priority, timeout, status in rows
    ]
    note(session, settled, front=True)
    return settled


def note(session: Session | Express, settled: Sequence[Settled], *, front: bool) -> None:
    """Tell the after-commit hook what these moves ask of Redis."""
    pending = [
        Delivery(each.id, each.name, each.queue_name, each.priority, each.timeout, front)
        for each in settled
        if each.status == Status.PENDING
    ]
    finished = [each.id for each in settled if each.status in FINISHED]
    if pending:
        note_pending(session, pending)
    if finished:
        note_finished(session, finished)


def _settled(task: Task) -> Settled:
    return Settled(
        str(task.id), task.name, task.queue_name, task.priority, task.timeout, task.status
    )


def held_by(session: Session, ids: Iterable[str], worker_id: str) -> list[Started]:
    """Those of these tasks that this worker holds: the answer to a `start` that got lost."""
    rows = session.connection().execute(statements.HELD, {"ids": list(ids), "worker": worker_id})
    return [_started(row) for row in rows]


def already_settled(session: Session, settlements: Sequence[Settlement]) -> set[str]:
    """Those of these settlements that are on record: the answer to a `settle` that got lost."""
    rows = session.execute(
        select(Attempt.task_id, Attempt.number, Attempt.worker_id, Attempt.outcome).where(
            Attempt.task_id.in_([UUID(each.task_id) for each in settlements])
        )
    )
    known = {(str(id), *row) for id, *row in rows}
    return {
        each.task_id
        for each in settlements
        if (each.task_id, each.holder.number, each.holder.worker_id, each.outcome) in known
    }


def no_longer_held(
    session: Session | Express, held: Sequence[tuple[str, int]], worker_id: str
) -> set[str]:
    """Those of these attempts (task, number) that were taken away: cancelled, or presumed lost."""
    values = {"ids": [id for id, _ in held], "worker": worker_id}
    still = {(str(id), number) for id, number in execute(session, statements.STILL_HELD, values)}
    return {id for id, number in held if (id, number) not in still}


def report_progress(
    session: Session, reports: Sequence[tuple[UUID, int, str]], worker_id: str
) -> None:
    """Store what handlers last said of their progress: triples of task, attempt and JSON text."""
    session.connection().execute(
        statements.PROGRESS,
        {
            "ids": [str(id) for id, _, _ in reports],
            "numbers": [number for _, number, _ in reports],
            "said": [said for _, _, said in reports],
            "worker": worker_id,
        },
    )


class Refused(NamedTuple):
    """A popped id whose start was refused, and where its task stands."""

    id: UUID
    status: Status
    name: str
    queue_name: str
    priority: Priority
    timeout: float
    expired: bool


def why_refused(session: Session, ids: Iterable[str]) -> list[Refused]:
    """Where these tasks stand; an id that is missing from the answer has no row."""
    rows = session.connection().execute(statements.REFUSED, {"ids": list(ids)})
    return [Refused._make(row) for row in rows]
