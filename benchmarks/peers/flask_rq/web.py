"""The Flask app: insert, commit, enqueue, answer."""

import os
import uuid
from typing import Any

from fastapi_celery.record import Session, Task
from flask import Flask, abort, request
from redis import Redis
from rq import Queue

from flask_rq.worker import HANDLERS, run_task

app = Flask(__name__)
queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))


def body(task: Task) -> dict[str, Any]:
    return {column.key: getattr(task, column.key) for column in Task.__table__.columns}


@app.post("/tasks")
def submit() -> tuple[dict[str, Any], int]:
    new = request.get_json()
    if new.get("name") not in HANDLERS or not isinstance(new.get("payload", {}), dict):
        abort(422)
    task = Task(name=new["name"], payload=new.get("payload", {}))
    with Session() as session:
        session.add(task)
        session.commit()
    queue.enqueue(run_task, str(task.id))
    return body(task), 201


@app.get("/tasks/<uuid:task_id>")
def show(task_id: uuid.UUID) -> dict[str, Any]:
    with Session() as session:
        task = session.get(Task, task_id)
    if task is None:
        abort(404)
    return body(task)
