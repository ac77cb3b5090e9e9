"""The hot statements, for sets of tasks: insert, start and settle, each one round trip.

They bypass the ORM: rows go in as arrays, one per column, and come out as plain tuples.
"""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    ColumnElement,
    Double,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    column,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from tasks.express import Hot
from tasks.lifecycle import FINISHED, Move, Outcome, Status
from tasks.models import Attempt, Task, Worker

COUNTED = frozenset({Outcome.FAILED, Outcome.TIMED_OUT})  # a failure of the handler
CRASHES = frozenset({Outcome.CRASHED, Outcome.LOST})  # a death of what ran it

_tasks = cast(Table, Task.__table__)
_attempts = cast(Table, Attempt.__table__)
DELIVERY = [_tasks.c[name] for name in ("id", "name", "queue_name", "priority", "timeout")]


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
        changes["expires_at"] = case((_tasks.c.expires_at > func.now(), _tasks.c.expires_at))
    return changes


def _array(name: str, of: type[TypeEngine[Any]] | TypeEngine[Any] = Text) -> ColumnElement[Any]:
    """A bound list of texts, cast in SQL so that its elements need no conversion in Python."""
    texts = bindparam(name, type_=ARRAY(Text))
    return texts if of is Text else sql_cast(texts, ARRAY(of))


def _unindexed(column: ColumnElement[str]) -> ColumnElement[str]:
    """A column as no index knows it, so that a plan goes by the primary key."""
    return column + literal("", Text)


NEW = {
    "id": _array("id", Uuid),
    "name": _array("name"),
    "payload": _array("payload", JSONB),
    "queue_name": _array("queue_name"),
    "priority": _array("priority"),
    "run_at": bindparam("run_at", type_=ARRAY(TIMESTAMP(timezone=True))),
    "delay": bindparam("delay", type_=ARRAY(Double)),
    "expires_at": bindparam("expires_at", type_=ARRAY(TIMESTAMP(timezone=True))),
    "timeout": bindparam("timeout", type_=ARRAY(Double)),
    "max_retries": bindparam("max_retries", type_=ARRAY(SmallInteger)),
    "labels": _array("labels", JSONB),
    "request_id": _array("request_id"),
    "schedule_id": bindparam("schedule_id", type_=ARRAY(Uuid)),
    "scheduled_for": bindparam("scheduled_for", type_=ARRAY(TIMESTAMP(timezone=True))),
}
_new = func.unnest(*NEW.values()).table_valued(*NEW).render_derived(name="new")
_run_at = func.coalesce(
    _new.c.run_at, func.now() + func.make_interval(0, 0, 0, 0, 0, 0, _new.c.delay)
)
_later = _run_at > func.now()
_stored = [name for name in NEW if name != "delay"]
INSERT = Hot(
    "insert_tasks",
    insert(_tasks)
    .from_select(
        [*_stored, "status", "pending_since"],
        select(
            *(case((_later, _run_at)) if name == "run_at" else _new.c[name] for name in _stored),
            case((_later, literal(Status.SCHEDULED, Text)), else_=literal(Status.PENDING, Text)),
            case((_later, None), else_=func.now()),
        ),
    )
    .returning(
        _tasks.c.id, _tasks.c.status, _tasks.c.created_at, _tasks.c.run_at, _tasks.c.pending_since
    ),
)

_STARTED = (
    _tasks.c.id, _tasks.c.name, sql_cast(_tasks.c.payload, Text), _tasks.c.queue_name,
    _tasks.c.priority, _tasks.c.attempt, _tasks.c.timeout, _tasks.c.max_retries,
    _tasks.c.failures, _tasks.c.crashes, _tasks.c.request_id,
)  # fmt: skip

_worker = bindparam("worker", type_=Text)

START = Hot(
    "start_tasks",
    update(_tasks)
    .where(
        _tasks.c.id == any_(_array("ids", Uuid)),
        _unindexed(_tasks.c.status).in_(map(str, Move.START.sources)),
        _unindexed(_tasks.c.name) == any_(_array("kinds")),
        or_(_tasks.c.expires_at.is_(None), _tasks.c.expires_at > func.now()),
        select(Worker.expires_at > func.now())  # evaluated once
        .where(Worker.id == _worker)
        .scalar_subquery(),
    )
    .values(
        **changes_of(Move.START),
        attempt=_tasks.c.attempt + 1,
        worker_id=_worker,
        started_at=func.now(),
        progress=None,
    )
    .returning(*_STARTED),
)

STILL_HELD = Hot(
    "look_at_held",
    select(_tasks.c.id, _tasks.c.attempt).where(
        _tasks.c.id == any_(_array("ids", Uuid)),
        _unindexed(_tasks.c.status) == literal(Status.RUNNING, Text),
        _unindexed(_tasks.c.worker_id) == _worker,
    ),
)

HELD = select(*_STARTED).where(
    _tasks.c.id == any_(_array("ids", Uuid)),
    _tasks.c.status == Status.RUNNING,
    _tasks.c.worker_id == bindparam("worker"),
)

REFUSED = select(
    _tasks.c.id, _tasks.c.status, _tasks.c.name, _tasks.c.queue_name, _tasks.c.priority,
    _tasks.c.timeout, func.coalesce(_tasks.c.expires_at <= func.now(), literal(False)),
).where(_tasks.c.id == any_(_array("ids", Uuid)))  # fmt: skip

_said = (
    func.unnest(
        _array("ids", Uuid), bindparam("numbers", type_=ARRAY(Integer)), _array("said", JSONB)
    )
    .table_valued("id", "number", "progress")
    .render_derived(name="said")
)
PROGRESS = (
    update(_tasks)
    .where(
        _tasks.c.id == _said.c.id,
        _tasks.c.status == Status.RUNNING,
        _tasks.c.attempt == _said.c.number,
        _tasks.c.worker_id == bindparam("worker"),
    )
    .values(progress=_said.c.progress, updated_at=func.now())
)

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
        "id", "number", "worker_id", "move",
        column("status", Text), column("outcome", Text), "result", "error", "wait",
    )
    .render_derived(name="word")
)  # fmt: skip
# A handler may settle in a transaction of its own, which began long before it ended.
_now: ColumnElement[datetime] = func.statement_timestamp()
_moved = (
    update(_tasks)
    .where(
        _tasks.c.id == _word.c.id,
        _unindexed(_tasks.c.status) == str(Status.RUNNING),
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
        *DELIVERY, _tasks.c.status, _tasks.c.attempt, _tasks.c.worker_id,
        _tasks.c.pending_since, _tasks.c.started_at, _tasks.c.updated_at,
        _word.c.outcome, _word.c.move, _word.c.error,
    )
    .cte("moved")
)  # fmt: skip
_written = (
    insert(_attempts)
    .from_select(
        [
            "task_id", "number", "worker_id", "pending_since", "started_at", "ended_at", "outcome",
            "move", "error",
        ],
        select(
            _moved.c.id, _moved.c.attempt, _moved.c.worker_id, _moved.c.pending_since,
            _moved.c.started_at, _moved.c.updated_at, _moved.c.outcome, _moved.c.move,
            _moved.c.error,
        ),
    )
    .cte("written")
)  # fmt: skip
SETTLE = Hot(
    "settle_attempts",
    select(*(_moved.c[column.key] for column in DELIVERY), _moved.c.status).add_cte(_written),
)
