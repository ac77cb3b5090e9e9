"""Rows for tests: a task in any consistent state, and a worker, alive or silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from tasks.lifecycle import FINISHED, Outcome, Priority, Status
from tasks.models import Attempt, Task, Worker

LAST = {  # how the last attempt of a task in each status ended
    Status.SCHEDULED: (Outcome.FAILED, "retry"),
    Status.PENDING: (Outcome.FAILED, "retry"),
    Status.SUCCEEDED: (Outcome.SUCCEEDED, "succeed"),
    Status.FAILED: (Outcome.FAILED, "fail"),
    Status.CANCELLED: (Outcome.CANCELLED, "cancel"),
}
ERROR = {"type": "ValueError", "message": "no", "traceback": None}


def ago(**duration: float) -> datetime:
    """This long before now: `ago(seconds=5)`; negative durations lie ahead."""
    return datetime.now(UTC) - timedelta(**duration)


class Rows:
    """Puts rows into the database, committed, without telling Redis."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def a_task(self, status: Status = Status.PENDING, **columns: Any) -> Task:
        """A task in this status, with its earlier attempts; any column can be given."""
        started = status in (Status.RUNNING, Status.SUCCEEDED, Status.FAILED)
        attempt = columns.setdefault("attempt", 1 if started else 0)
        ended = attempt - 1 if status is Status.RUNNING else attempt
        created_at = columns.setdefault("created_at", ago(minutes=10))
        facts: dict[str, Any] = {
            "id": uuid7(),
            "name": "example_task",
            "payload": {},
            "queue_name": "default",
            "priority": Priority.NORMAL,
            "timeout": 60.0,
            "max_retries": 3,
            "labels": {},
            "failures": ended if status is not Status.SUCCEEDED else attempt - 1,
            "updated_at": created_at,
        }
        if status is Status.SCHEDULED:
            facts["run_at"] = ago(hours=-1)
        if status is Status.PENDING or attempt:
            facts["pending_since"] = created_at
        if attempt:
            facts |= {"worker_id": "worker-1", "started_at": created_at + timedelta(minutes=1)}
        if status in FINISHED:
            facts["finished_at"] = created_at + timedelta(minutes=2)
        if status is Status.SUCCEEDED:
            facts["result"] = {"answer": 42}
        if status is Status.FAILED:
            facts["error"] = ERROR
        task = Task(**(facts | {"status": status} | columns))
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            session.add(task)
            session.add_all(_attempt(task, number, ended) for number in range(1, ended + 1))
        return task

    def a_worker(self, id: str = "worker-1", *, lease: float = 60, **columns: Any) -> Worker:
        """A worker whose lease ends in this many seconds; a negative one has run out."""
        facts: dict[str, Any] = {
            "host": "localhost",
            "pid": 1,
            "queues": [],
            "kinds": ["example_task"],
            "concurrency": 2,
            "expires_at": ago(seconds=-lease),
        }
        worker = Worker(id=id, **(facts | columns))
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            session.add(worker)
        return worker


def _attempt(task: Task, number: int, ended: int) -> Attempt:
    is_last = number == ended and task.status is not Status.RUNNING
    outcome, move = LAST[task.status] if is_last else (Outcome.FAILED, "retry")
    began = task.created_at + timedelta(seconds=number)
    ended_at = began + timedelta(seconds=0.5)
    if is_last and task.started_at is not None:
        began = task.started_at
        ended_at = task.finished_at or began + timedelta(seconds=0.5)
    return Attempt(
        task_id=task.id,
        number=number,
        worker_id=task.worker_id or "worker-1",
        pending_since=began,
        started_at=began,
        ended_at=ended_at,
        outcome=outcome,
        move=move,
        error=ERROR if outcome is Outcome.FAILED else None,
    )
