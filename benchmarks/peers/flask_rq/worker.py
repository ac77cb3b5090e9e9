"""What RQ runs: commit that the task runs, do its work, commit how it ended."""

import uuid
from typing import Any

from fastapi_celery.record import Session, Task
from sqlalchemy import func, update
from ticks import tick


def nothing(**_: Any) -> None:
    tick()


HANDLERS = {"nothing": nothing}


def run_task(task_id: str) -> None:
    here = Task.id == uuid.UUID(task_id)
    with Session.begin() as session:
        start = update(Task).where(here).values(status="running", started_at=func.now())
        name, payload = session.execute(start.returning(Task.name, Task.payload)).one()
    try:
        ended: dict[str, Any] = {"status": "succeeded", "result": HANDLERS[name](**payload)}
    except Exception as error:  # noqa: BLE001  # whatever it raises is how it ended
        ended = {"status": "failed", "error": repr(error)}
    with Session.begin() as session:
        session.execute(update(Task).where(here).values(finished_at=func.now(), **ended))
