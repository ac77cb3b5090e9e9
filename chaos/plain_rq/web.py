"""The plain service's web process: `python -m chaos.plain_rq.web`."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any
from uuid import uuid4

from flask import Flask, Response, abort, jsonify, request
from redis import Redis
from rq import Callback, Queue, Retry
from werkzeug.serving import run_simple

from chaos.plain_rq import jobs, record

PATH = "/api/v1/tasks/"

app = Flask(__name__)
redis = Redis.from_url(os.environ["REDIS_URL"])


@app.get("/health")
def health() -> str:
    return "ok"


@app.post(PATH)
def submit() -> tuple[Response, int]:
    (task,) = accept([request.get_json()])
    return jsonify(record.find(task["id"])), 201


@app.post(f"{PATH}batch")
def submit_batch() -> tuple[Response, int]:
    tasks = accept(request.get_json()["tasks"])
    return jsonify(ids=[task["id"] for task in tasks]), 201


@app.get(f"{PATH}<task_id>")
def show(task_id: str) -> Response:
    return jsonify(record.find(task_id) or abort(404))


@app.post(f"{PATH}<task_id>/cancel")
def cancel(task_id: str) -> Response:
    if not record.cancel(task_id):
        abort(409)
    return show(task_id)


def accept(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Commit the rows, then enqueue the jobs."""
    tasks = [{**task, "id": str(uuid4())} for task in tasks]
    record.insert(tasks)
    for task in tasks:
        enqueue(task)
    return tasks


def enqueue(task: dict[str, Any]) -> None:
    queue = Queue(task.get("priority", "normal"), connection=redis)
    terms: dict[str, Any] = {
        "job_id": task["id"],
        "retry": Retry(max=task.get("max_retries", 3)),
        "job_timeout": max(1, int(task.get("timeout", 60))),
        "on_success": Callback(jobs.on_success),
        "on_failure": Callback(jobs.on_failure),
    }
    arguments = (task["id"], task["name"], task.get("payload", {}))
    if delay := task.get("delay"):
        queue.enqueue_in(timedelta(seconds=delay), jobs.run, *arguments, **terms)
    else:
        queue.enqueue(jobs.run, *arguments, **terms)


if __name__ == "__main__":
    run_simple("127.0.0.1", int(os.environ["API_PORT"]), app, threaded=True)
