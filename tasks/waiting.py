"""Waiting for a task to finish: one listener per process wakes everyone who waits.

A message on Redis wakes at once; because it may be lost, the listener also looks into the database
once a second, for all who wait in one query.
"""

import logging
import threading
import time
from collections import defaultdict
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import select

from tasks.database import sessions
from tasks.errors import DatabaseUnavailable
from tasks.lifecycle import FINISHED
from tasks.models import Task
from tasks.scripts import FINISHED as CHANNEL
from tasks.store import find

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # seconds


class Waiters:
    """Those who wait in this process, and the thread that wakes them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._lock = threading.Lock()
        self._waiting: dict[UUID, list[threading.Event]] = defaultdict(list)
        self._listener: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """Let everybody go, now and later: this process is about to end."""
        with self._lock:
            self._closed = True
            for events in self._waiting.values():
                for event in events:
                    event.set()

    def wait(self, task_id: UUID, seconds: float) -> Task:
        """The task once it is finished, or as it is when the seconds are up or all are let go.

        Raises `TaskNotFound` at once. The seconds are measured from this call.
        """
        deadline = time.monotonic() + seconds
        finished = threading.Event()
        with self._lock:
            self._waiting[task_id].append(finished)
            if self._listener is None or not self._listener.is_alive():
                self._listener = threading.Thread(target=self._listen, name="waiters", daemon=True)
                self._listener.start()
        try:
            while True:
                finished.clear()  # before looking: it may be set for an end that a rerun undid
                with sessions.begin() as session:
                    task = find(session, task_id)
                left = deadline - time.monotonic()
                if task.status in FINISHED or left <= 0 or self._closed:
                    return task
                finished.wait(left)
        finally:
            with self._lock:
                self._waiting[task_id].remove(finished)
                if not self._waiting[task_id]:
                    del self._waiting[task_id]

    def _listen(self) -> None:
        looked = 0.0
        while not self._closed:
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(CHANNEL)
                    while not self._closed:
                        left = looked + LOOK_EVERY - time.monotonic()
                        if left <= 0:
                            self._look()
                            looked = time.monotonic()
                            continue
                        message = channel.get_message(timeout=left)
                        if message and isinstance(message["data"], bytes):
                            self._wake(message["data"].decode(errors="replace").split())
            except RedisError as error:
                log.debug("listening again in a moment: %s", error)
                self._look()
                time.sleep(LOOK_EVERY)  # Redis is away: looking is all there is

    def _wake(self, ids: list[str]) -> None:
        with self._lock:
            for task_id, events in self._waiting.items():
                if str(task_id) in ids:
                    for event in events:
                        event.set()

    def _look(self) -> None:
        with self._lock:
            ids = list(self._waiting)
        if not ids:
            return
        try:
            with sessions.begin() as session:
                finished = session.scalars(
                    select(Task.id).where(Task.id.in_(ids), Task.status.in_(FINISHED))
                ).all()
        except DatabaseUnavailable:
            return  # those who wait are told when they look themselves
        self._wake([str(id) for id in finished])
