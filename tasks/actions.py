"""What a client may ask: submit, submit many, cancel, rerun."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy.orm import Session, configure_mappers
from sqlalchemy.orm.attributes import manager_of_class
from uuid_utils.compat import uuid7

from tasks import audit, catalog, idempotency, sealing, store
from tasks.audit import Act
from tasks.database import follow, sessions
from tasks.errors import InvalidBatch, InvalidTask, UnknownKind
from tasks.lifecycle import Move, Priority, Status
from tasks.models import Task
from tasks.shared_commit import SharedCommit


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What holds for tasks whose kind and client do not say otherwise; given by the entry point."""

    timeout: float = 300.0  # seconds for one attempt
    max_retries: int = 3
    max_payload_bytes: int = 262_144
    idempotency_key_hours: float = 24.0


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A task as a client asks for it; None leaves a field to the kind, then to the service."""

    name: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    queue_name: str | None = None
    priority: Priority | None = None
    run_at: datetime | None = None
    delay: float | None = None  # seconds, instead of run_at
    max_retries: int | None = None
    timeout: float | None = None  # seconds for one attempt
    expires_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None


class Client(NamedTuple):
    """Who asks: for idempotency and for the audit."""

    principal: str = ""  # API key id; "" without authentication
    address: str | None = None


class Once(NamedTuple):
    """An `Idempotency-Key` and what it was sent with."""

    key: str
    request: bytes  # the request body; another body under the same key is refused


class Submitted(NamedTuple):
    """The answer to a submission."""

    ids: list[UUID]
    replayed: bool  # this key was seen before: these are the tasks of the first answer


ANYBODY = Client()
_terms = Terms()
_together = SharedCommit()


def configure(terms: Terms) -> None:
    """Set the terms of this process."""
    global _terms
    _terms = terms


def submit(submission: Submission, by: Client = ANYBODY, *, session: Session | None = None) -> Task:
    """Accept one task; it is stored when this returns.

    With a `session` of the caller's the task exists if and only if that transaction commits, and
    is pushed after it. Raises `UnknownKind`, `InvalidTask` or `DatabaseUnavailable`.
    """
    row = row_of(submission)
    if session is None:
        stored = _together.insert([row], acts_of(by, [row]))
    else:
        follow(session)
        stored = store.insert_tasks(session, [row])
        audit.record_all(session, acts_of(by, [row]))
    return as_task(submission, row, stored[row["id"]])


def submit_many(
    submissions: Sequence[Submission], by: Client = ANYBODY, *, session: Session | None = None
) -> list[UUID]:
    """Accept all of these tasks or none, in one statement; the ids are in the order given.

    Raises `InvalidBatch` naming each wrong one by its index.
    """
    rows = rows_of(submissions)
    if session is None:
        with sessions.begin() as own:
            store.insert_tasks(own, rows)
            audit.record_all(own, acts_of(by, rows))
    else:
        follow(session)
        store.insert_tasks(session, rows)
        audit.record_all(session, acts_of(by, rows))
    return [row["id"] for row in rows]


def submit_once(submissions: Sequence[Submission], once: Once, by: Client = ANYBODY) -> Submitted:
    """Accept these tasks unless this client used this key before; then return the first answer.

    However often and however many at a time a request is repeated, one of them makes the tasks.
    Raises `IdempotencyKeyReused` when the key came with another request.
    """
    vault, hours = sealing.vault(), _terms.idempotency_key_hours

    def is_same(digest: bytes) -> bool:
        return vault.may_be_of(digest, once.request)

    with sessions.begin() as session:
        known = idempotency.recall(session, by.principal, once.key, is_same, hours)
    if known is not None:
        return Submitted(known, replayed=True)
    rows = rows_of(submissions)
    ids = [row["id"] for row in rows]
    with sessions.begin("submit") as session:
        digest = vault.fingerprint(once.request)
        first = idempotency.remember(session, by.principal, once.key, digest, is_same, ids, hours)
        if first is None:
            store.insert_tasks(session, rows)
            audit.record_all(session, acts_of(by, rows))
    return Submitted(ids, replayed=False) if first is None else Submitted(first, replayed=True)


def cancel(task_id: UUID, by: Client = ANYBODY) -> Task:
    """Cancel a task that has not finished; a running handler is stopped within a second."""
    return _ask(task_id, Move.CANCEL, by)


def rerun(task_id: UUID, by: Client = ANYBODY) -> Task:
    """Bring a failed or cancelled task back, pending, with a fresh allowance of retries."""
    return _ask(task_id, Move.RERUN, by)


def _ask(task_id: UUID, move: Move, by: Client) -> Task:
    with sessions.begin() as session:
        task, was = store.advance(session, task_id, move)
        act = audit.of_move(
            by.principal, move, task_id, was, task.pending_since, address=by.address
        )
        audit.record_all(session, [act])
    return task


def acts_of(by: Client, rows: Sequence[dict[str, Any]]) -> list[Act]:
    """What the audit says of a submission: one entry, and none without authentication."""
    if not by.principal:
        return []
    first, last = str(rows[0]["id"]), str(rows[-1]["id"])
    if len(rows) == 1:
        return [Act(by.principal, "task.submit", first, by.address)]
    details = {"tasks": len(rows), "first": first, "last": last}
    return [Act(by.principal, "task.submit_many", None, by.address, details)]


def rows_of(submissions: Sequence[Submission]) -> list[dict[str, Any]]:
    """The rows of a batch, or `InvalidBatch` with the messages of each wrong one."""
    rows, wrong = [], {}
    for index, submission in enumerate(submissions):
        try:
            rows.append(row_of(submission))
        except InvalidTask as error:
            wrong[index] = error.messages
        except UnknownKind as error:
            wrong[index] = {"name": [str(error)]}
    if wrong:
        raise InvalidBatch(wrong)
    return rows


def row_of(submission: Submission) -> dict[str, Any]:
    """The row to store for a submission, on the kind's terms where the client gave none."""
    kind = catalog.kind(submission.name)
    payload = orjson.dumps(submission.payload)
    refuse_large(payload)  # before each of its values is looked at
    kind.check(submission.payload)
    sealed = sealing.seal(kind, submission.payload)
    if sealed is not submission.payload:
        payload = orjson.dumps(sealed)
        refuse_large(payload)
    retries, timeout = submission.max_retries, submission.timeout
    if retries is None:
        retries = kind.retry.max_retries
    if timeout is None and kind.timeout is not None:
        timeout = kind.timeout.total_seconds()
    return {
        "id": uuid7(),
        "name": kind.name,
        "payload": payload.decode(),
        "sealed": sealed,  # the same, for the answer
        "queue_name": submission.queue_name or kind.queue_name,
        "priority": submission.priority or kind.priority,
        "run_at": submission.run_at,
        "delay": submission.delay,
        "expires_at": submission.expires_at,
        "timeout": float(_terms.timeout if timeout is None else timeout),
        "max_retries": _terms.max_retries if retries is None else retries,
        "labels": orjson.dumps(submission.labels).decode() if submission.labels else "{}",
        "request_id": submission.request_id,
    }


def refuse_large(payload: bytes) -> None:
    most = _terms.max_payload_bytes
    if len(payload) > most:
        raise InvalidTask({"payload": [f"Larger than {most} bytes as JSON: {len(payload)}."]})


def as_task(submission: Submission, row: dict[str, Any], stored: store.Stored) -> Task:
    """A new task as it now stands in the database, without reading it again."""
    task = _blank()
    task.__dict__.update(_NOT_YET)
    task.__dict__.update(
        id=stored.id,
        name=row["name"],
        payload=dict(row["sealed"]),
        queue_name=row["queue_name"],
        priority=Priority(row["priority"]),
        status=Status(stored.status),
        run_at=stored.run_at,
        expires_at=row["expires_at"],
        timeout=row["timeout"],
        max_retries=row["max_retries"],
        attempt=0,
        failures=0,
        crashes=0,
        pending_since=stored.pending_since,
        labels=dict(submission.labels),
        request_id=row["request_id"],
        created_at=stored.created_at,
        updated_at=stored.created_at,
    )
    return task


# Made as SQLAlchemy makes an object of a row: its constructor takes fifteen times as long.
configure_mappers()
_blank: Callable[[], Task] = manager_of_class(Task).new_instance
_NOT_YET: dict[str, Any] = dict.fromkeys(column.key for column in Task.__table__.columns)
