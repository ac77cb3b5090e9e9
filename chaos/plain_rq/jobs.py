"""What RQ runs for the plain service: the handler, and the callbacks that keep its table."""

from __future__ import annotations

from typing import Any

from chaos import deeds
from chaos.executions import Attempt
from chaos.plain_rq import record


def run(task_id: str, name: str, payload: dict[str, Any]) -> Any:
    """Do what the same kind does in the service."""
    number = record.start(task_id)
    if number is None:
        return None
    attempt = Attempt(task_id, number)
    if name == "chaos.die":
        return deeds.die(attempt, payload["how"], payload["times"])
    return deeds.do(attempt, seconds=payload.get("seconds", 0), fail_times=payload.get("times", 0))


def on_success(job: Any, connection: Any, result: Any) -> None:
    if result is not None:
        record.end(job.id, "succeeded", result)


def on_failure(job: Any, connection: Any, *error: Any) -> None:
    if not job.retries_left:
        record.end(job.id, "failed")
