"""What a handler may ask for beside its payload: its task, its progress, its database session."""

import logging
import time
from collections.abc import Callable
from typing import Any

import orjson

from jobs.assignment import Assignment, Progress
from tasks.database import Session
from tasks.scrubbing import scrub

QUIET = 0.05  # seconds between two reports of progress that are sent on


class Context:
    """The surroundings of one attempt.

    A handler gets it by having a parameter named `context` or `ctx`.
    """

    def __init__(
        self,
        assignment: Assignment,
        say: Callable[[Progress], None],
        open_session: Callable[[], Session],
    ) -> None:
        self.task_id = assignment.task_id
        self.attempt = assignment.attempt  # from 1
        self.request_id = assignment.request_id  # of the HTTP request that submitted the task
        self.cancelled = False  # true once the task is cancelled; `Cancelled` is raised as well
        self._name = assignment.name
        self._say = say
        self._said_at = 0.0
        self._open_session = open_session
        self._session: Session | None = None

    @property
    def logger(self) -> logging.Logger:
        """The logger of this kind of task; what it says names the task, attempt and request."""
        return logging.getLogger(f"tasks.{self._name}")

    @property
    def idempotency_key(self) -> str:
        """The same at every attempt of this task: pass it on, and effects happen once."""
        return self.task_id

    @property
    def session(self) -> Session:
        """A database session that commits together with the task's success, or not at all."""
        if self._session is None:
            self._session = self._open_session()
        return self._session

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the work is; clients see the latest word while the task runs."""
        now = time.monotonic()
        if now - self._said_at < QUIET and done != total:
            return
        self._said_at = now
        said: dict[str, Any] = {"done": done, "total": total, "message": scrub(message)}
        self._say(Progress(self.task_id, self.attempt, orjson.dumps(said).decode()))
