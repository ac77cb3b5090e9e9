"""The table of the plain service."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

CREATE = """
CREATE TABLE tasks (
    id uuid PRIMARY KEY, name text NOT NULL, payload jsonb NOT NULL, label text,
    status text NOT NULL DEFAULT 'queued', attempts int NOT NULL DEFAULT 0, result jsonb,
    created_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz
)
"""
INSERT = "INSERT INTO tasks (id, name, payload, label) VALUES (%s, %s, %s, %s)"
FIND = "SELECT id::text, name, status, attempts FROM tasks WHERE id = %s"
START = (
    "UPDATE tasks SET status = 'started', attempts = attempts + 1"
    " WHERE id = %s AND status <> 'cancelled' RETURNING attempts"
)
END = "UPDATE tasks SET status = %s, result = %s, finished_at = now() WHERE id = %s"
CANCEL = (
    "UPDATE tasks SET status = 'cancelled', finished_at = now()"
    " WHERE id = %s AND status = 'queued' RETURNING id"
)


@contextmanager
def transaction() -> Iterator[Any]:
    """A cursor; committed at the end."""
    with closing(psycopg2.connect(os.environ["DATABASE_URL"])) as connection, connection:
        yield connection.cursor()


def insert(tasks: list[dict[str, Any]]) -> None:
    with transaction() as cursor:
        for task in tasks:
            label = task.get("labels", {}).get("ask")
            payload = json.dumps(task.get("payload", {}))
            cursor.execute(INSERT, [task["id"], task["name"], payload, label])


def find(task_id: str) -> dict[str, Any] | None:
    with transaction() as cursor:
        cursor.execute(FIND, [task_id])
        row = cursor.fetchone()
    return dict(zip(("id", "name", "status", "attempts"), row, strict=True)) if row else None


def start(task_id: str) -> int | None:
    """The number of the attempt, or None if the task was cancelled."""
    with transaction() as cursor:
        cursor.execute(START, [task_id])
        row = cursor.fetchone()
    return row[0] if row else None


def end(task_id: str, status: str, result: Any = None) -> None:
    with transaction() as cursor:
        cursor.execute(END, [status, json.dumps(result), task_id])


def cancel(task_id: str) -> bool:
    with transaction() as cursor:
        cursor.execute(CANCEL, [task_id])
        return cursor.fetchone() is not None
