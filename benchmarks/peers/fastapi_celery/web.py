"""The FastAPI app: insert, commit, enqueue, answer."""

import uuid
from datetime import datetime
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict

from fastapi_celery.record import Session, Task
from fastapi_celery.worker import HANDLERS, run_task

app = FastAPI()


class NewTask(BaseModel):
    name: str
    payload: dict[str, Any] = {}


class TaskBody(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    name: str
    payload: dict[str, Any]
    status: str
    result: Any = None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@app.post("/tasks", status_code=201, response_model=TaskBody)
def submit(new: NewTask) -> Task:
    if new.name not in HANDLERS:
        raise HTTPException(422, f"No such task: {new.name}")
    task = Task(name=new.name, payload=new.payload)
    with Session() as session:
        session.add(task)
        session.commit()
    run_task.delay(str(task.id))
    return task


@app.get("/tasks/{task_id}", response_model=TaskBody)
def show(task_id: uuid.UUID) -> Task:
    with Session() as session:
        task = session.get(Task, task_id)
    if task is None:
        raise HTTPException(404)
    return task
