"""The only writer of a task's status, and only by a move.

Check and change are always one statement: the sources of the move are in its `WHERE`, so of two
rivals exactly one wins. A worker also names the attempt it holds (the fence): once presumed dead
and replaced, it can change nothing. The hot moves exist for sets: one statement, one commit.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    ColumnElement,
    Double,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from tasks.broker import Delivery
from tasks.database import note_finished, note_pending
from tasks.errors import MoveRefused, TaskNotFound
from tasks.lifecycle import FINISHED, Move, Outcome, Priority, Status
from tasks.models import Attempt, Task, Worker

DELIVERY = (Task.id, Task.name, Task.queue_name, Task.priority, Task.timeout)
COUNTED = frozenset({Outcome.FAILED, Outcome.TIMED_OUT})
CRASHES = frozenset({Outcome.CRASHED, Outcome.LOST})


class Holder(NamedTuple):
    """The fence: which attempt of a task is spoken of, and by whom it is held."""

    number: int
    worker_id: str


class Started(NamedTuple):
    """A task that a worker has just claimed; what it needs to run it."""

    id: UUID
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


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a worker, or the clock, says of an attempt at its end."""

    task_id: UUID
    holder: Holder
    move: Move
    outcome: Outcome
    result: str | None = None  # JSON text
    error: str | None = None  # JSON text of {"type", "message", "traceback"}
    wait: float | None = None  # seconds until the next attempt, for moves to scheduled


class Settled(NamedTuple):
    """A settlement that was accepted."""

    id: UUID
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


def insert_tasks(session: Session, rows: Sequence[dict[str, Any]]) -> dict[UUID, Stored]:
    """Store new tasks in one statement; those that are due are pushed after the commit.

    A row is a dict of `Task` columns, with `payload` and `labels` as JSON text. PostgreSQL's clock
    decides whether a `run_at` is still to come: scheduled, else pending.
    """
    values = {name: [row.get(name) for row in rows] for name in _NEW}
    values["id"] = [str(id) for id in values["id"]]
    stored = {row.id: Stored(*row) for row in session.connection().execute(_INSERT, values)}
    note_pending(
        session,
        [
            Delivery(row["id"], row["name"], row["queue_name"], row["priority"], row["timeout"])
            for row in rows
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
        .values(**changes_of(move), **changes)
        .returning(Task, before.c.status)
    )
    row = session.execute(statement, execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        found = find(session, task_id)
        raise MoveRefused(move, task_id, found.status, found.attempt)
    task, was = row.tuple()
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


def changes_of(move: Move) -> dict[str, Any]:
    """The columns that a move to its target always sets."""
    target = move.target
    changes: dict[str, Any] = {"status": target, "updated_at": func.now()}
    if target is not Status.SCHEDULED:
        changes["run_at"] = None
    if target is Status.PENDING and move is not Move.RELEASE:
        changes["pending_since"] = func.now()
    if target in FINISHED:
        changes["finished_at"] = func.now()
    if move is Move.RERUN:
        changes |= {"finished_at": None, "failures": 0, "crashes": 0, "progress": None}
    return changes


def sweep(
    session: Session, move: Move, due: ColumnElement[bool], order: ColumnElement[Any], limit: int
) -> list[Settled]:
    """Make one of the clock's moves for up to `limit` tasks; others' rows are skipped, not waited for."""
    here = (
        select(Task.id)
        .where(Task.status.in_(move.sources), due)
        .order_by(order)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("here")
    )
    statement = (
        update(Task)
        .where(Task.id == here.c.id)
        .values(**changes_of(move))
        .returning(*DELIVERY, Task.status)
    )
    swept = [Settled(*row) for row in session.execute(statement)]
    note(session, swept, front=False)
    return swept


def start_many(
    session: Session, ids: Iterable[str], worker_id: str, kinds: Collection[str]
) -> list[Started]:
    """Claim these tasks for a worker; those that are not pending, or of another kind, are left out.

    Nothing is claimed when the worker's lease has run out. The commit does not wait for the disk:
    a start that is lost is repaired by the lease.
    """
    rows = session.connection().execute(
        _START, {"ids": list(ids), "worker": worker_id, "kinds": list(kinds)}
    )
    return [Started(*row) for row in rows]


def settle_many(session: Session, settlements: Sequence[Settlement]) -> list[Settled]:
    """End these attempts, each by its own move, and write their records; return the accepted.

    One that is missing from the answer changed nothing: its attempt is no longer held.
    """
    rows = session.connection().execute(
        _SETTLE,
        {
            "ids": [str(each.task_id) for each in settlements],
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
    settled = [Settled(*row) for row in rows]
    note(session, settled, front=True)
    return settled


def note(session: Session, settled: Sequence[Settled], *, front: bool) -> None:
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
    return Settled(task.id, task.name, task.queue_name, task.priority, task.timeout, task.status)


def _array(name: str, of: type[TypeEngine[Any]] | TypeEngine[Any] = Text) -> ColumnElement[Any]:
    """A bound list of texts, cast in SQL so that its elements need no conversion in Python."""
    texts = bindparam(name, type_=ARRAY(Text))
    return texts if of is Text else cast(texts, ARRAY(of))


# The hot statements bypass the ORM: rows go in and out as plain tuples.
_tasks = Task.__table__
_delivery = [_tasks.c[column.key] for column in DELIVERY]

_NEW = {
    "id": _array("id", Uuid),
    "name": _array("name"),
    "payload": _array("payload", JSONB),
    "queue_name": _array("queue_name"),
    "priority": _array("priority"),
    "run_at": bindparam("run_at", type_=ARRAY(TIMESTAMP(timezone=True))),
    "expires_at": bindparam("expires_at", type_=ARRAY(TIMESTAMP(timezone=True))),
    "timeout": bindparam("timeout", type_=ARRAY(Double)),
    "max_retries": bindparam("max_retries", type_=ARRAY(SmallInteger)),
    "labels": _array("labels", JSONB),
    "request_id": _array("request_id"),
    "schedule_id": bindparam("schedule_id", type_=ARRAY(Uuid)),
    "scheduled_for": bindparam("scheduled_for", type_=ARRAY(TIMESTAMP(timezone=True))),
}
_new = func.unnest(*_NEW.values()).table_valued(*_NEW).render_derived(name="new")
_later = _new.c.run_at > func.now()
_INSERT = (
    insert(_tasks)
    .from_select(
        [*_NEW, "status", "pending_since"],
        select(
            *(case((_later, _new.c.run_at)) if name == "run_at" else _new.c[name] for name in _NEW),
            case((_later, literal(Status.SCHEDULED, Text)), else_=literal(Status.PENDING, Text)),
            case((_later, None), else_=func.now()),
        ),
    )
    .returning(
        _tasks.c.id, _tasks.c.status, _tasks.c.created_at, _tasks.c.run_at, _tasks.c.pending_since
    )
)

_START = (
    update(_tasks)
    .where(
        _tasks.c.id == any_(_array("ids", Uuid)),
        _tasks.c.status.in_(Move.START.sources),
        _tasks.c.name == any_(_array("kinds")),
        or_(_tasks.c.expires_at.is_(None), _tasks.c.expires_at > func.now()),
        # Evaluated once: the lease, and that this transaction's commit need not wait for the disk.
        select(
            and_(
                Worker.expires_at > func.now(),
                func.set_config("synchronous_commit", "off", True) == "off",
            )
        )
        .where(Worker.id == bindparam("worker"))
        .scalar_subquery(),
    )
    .values(
        **changes_of(Move.START),
        attempt=_tasks.c.attempt + 1,
        worker_id=bindparam("worker"),
        started_at=func.now(),
        progress=None,
    )
    .returning(
        _tasks.c.id, _tasks.c.name, cast(_tasks.c.payload, Text), _tasks.c.queue_name, _tasks.c.priority, _tasks.c.attempt,
        _tasks.c.timeout, _tasks.c.max_retries, _tasks.c.failures, _tasks.c.crashes, _tasks.c.request_id,
    )
)  # fmt: skip

_word = (
    func.unnest(
        _array("ids", Uuid),
        bindparam("numbers", type_=ARRAY(Integer)),
        _array("workers"),
        _array("moves"),
        _array("statuses"),
        _array("outcomes"),
        _array("results", JSONB),
        _array("errors", JSONB),
        bindparam("waits", type_=ARRAY(Double)),
    )
    .table_valued(
        "id", "number", "worker_id", "move", "status", "outcome", "result", "error", "wait"
    )
    .render_derived(name="word")
)
_now: ColumnElement[datetime] = func.now()
_moved = (
    update(_tasks)
    .where(
        _tasks.c.id == _word.c.id,
        _tasks.c.status == Status.RUNNING,
        _tasks.c.attempt == _word.c.number,
        _tasks.c.worker_id == _word.c.worker_id,
    )
    .values(
        status=_word.c.status,
        updated_at=_now,
        finished_at=case((_word.c.status.in_(FINISHED), _now)),
        run_at=_now + func.make_interval(0, 0, 0, 0, 0, 0, _word.c.wait),
        result=_word.c.result,
        error=func.coalesce(_word.c.error, _tasks.c.error),
        failures=_tasks.c.failures + case((_word.c.outcome.in_(COUNTED), 1), else_=0),
        crashes=_tasks.c.crashes + case((_word.c.outcome.in_(CRASHES), 1), else_=0),
    )
    .returning(
        *_delivery, _tasks.c.status, _tasks.c.attempt, _tasks.c.worker_id, _tasks.c.pending_since, _tasks.c.started_at,
        _word.c.outcome, _word.c.move, _word.c.error,
    )
    .cte("moved")
)  # fmt: skip
_written = (
    insert(Attempt.__table__)
    .from_select(
        ["task_id", "number", "worker_id", "pending_since", "started_at", "outcome", "move", "error"],
        select(
            _moved.c.id, _moved.c.attempt, _moved.c.worker_id, _moved.c.pending_since,
            _moved.c.started_at, _moved.c.outcome, _moved.c.move, _moved.c.error,
        ),
    )
    .cte("written")
)  # fmt: skip
_SETTLE = select(*(_moved.c[column.key] for column in _delivery), _moved.c.status).add_cte(_written)
