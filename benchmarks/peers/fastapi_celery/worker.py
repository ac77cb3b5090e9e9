"""The Celery app: a task commits that it runs, does its work, and commits how it ended."""

import os
import uuid
from typing import Any

from celery import Celery
from celery.signals import worker_process_init
from sqlalchemy import func, update
from ticks import tick

from fastapi_celery.record import Session, Task, engine

app = Celery("tasks", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,  # the row has it
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)


@worker_process_init.connect
def own_connections(**_: Any) -> None:
    engine.dispose(close=False)


def nothing(**_: Any) -> None:
    tick()


HANDLERS = {"nothing": nothing}


@app.task(name="run_task")
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
