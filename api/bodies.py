"""What clients receive, made from what the domain returns; `api.schemas` describes it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.auth import grant
from api.paging import cursor_after
from tasks import sealing
from tasks.history import Event
from tasks.keys import Scope
from tasks.models import Attempt, Task
from tasks.search import Page


def task(task: Task) -> dict[str, Any]:
    """A task; without `payloads:read` it tells nothing of its payload, result and error."""
    shown = grant().allows(Scope.PAYLOADS_READ)
    return {
        "id": task.id,
        "name": task.name,
        "payload": sealing.shown(task.name, task.payload) if shown else None,
        "queue_name": task.queue_name,
        "priority": task.priority,
        "status": task.status,
        "result": task.result if shown else None,
        "error": task.error if shown else None,
        "attempts": task.attempt,
        "max_retries": task.max_retries,
        "timeout": task.timeout,
        "run_at": task.run_at,
        "expires_at": task.expires_at,
        "labels": task.labels,
        "progress": task.progress,
        "worker": task.worker_id,
        "schedule_id": task.schedule_id,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "updated_at": task.updated_at,
    }


def page(page: Page) -> dict[str, Any]:
    return {"items": [task(each) for each in page.items], "next_cursor": cursor_after(page.last)}


def ids(ids: Sequence[UUID]) -> dict[str, Any]:
    return {"ids": ids}


def attempts(attempts: Sequence[Attempt]) -> dict[str, Any]:
    shown = grant().allows(Scope.PAYLOADS_READ)
    return {
        "items": [
            {
                "number": each.number,
                "worker": each.worker_id,
                "started_at": each.started_at,
                "ended_at": each.ended_at,
                "outcome": each.outcome,
                "error": each.error if shown else None,
            }
            for each in attempts
        ]
    }


def history(events: Sequence[Event]) -> dict[str, Any]:
    return {
        "items": [
            {
                "at": each.at,
                "move": each.move,
                "by": each.by,
                "from": each.from_status,
                "to": each.to_status,
                "attempt": each.attempt,
            }
            for each in events
        ]
    }
