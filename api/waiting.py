"""Waiting for the end of a task without taking all the threads from those who do not wait."""

import threading
from uuid import UUID

from flask import current_app, request

from api import slow_bodies
from tasks import store
from tasks.database import sessions
from tasks.models import Task
from tasks.waiting import Waiters


class WaitingRoom:
    """Lets a bounded number of requests wait at a time; there is no queue for its seats."""

    def __init__(self, waiters: Waiters, seats: int) -> None:
        self._waiters = waiters
        self._seats = threading.BoundedSemaphore(seats)

    def wait(self, task_id: UUID, seconds: float) -> Task:
        """The task once it is finished, or as it is when the seconds are up or no seat is free."""
        if not seconds or not self._seats.acquire(blocking=False):
            with sessions.begin() as session:
                return store.find(session, task_id)
        try:
            with slow_bodies.waiting(request.environ):
                return self._waiters.wait(task_id, seconds)
        finally:
            self._seats.release()

    def close(self) -> None:
        """Let everybody go, now and later."""
        self._waiters.close()


def open_waiting_room(waiters: Waiters, threads: int) -> WaitingRoom:
    """Half of a process's threads may wait; the other half goes on answering."""
    return WaitingRoom(waiters, max(1, threads // 2))


def patient_look(task_id: UUID, seconds: float) -> Task:
    """The task, after up to this many seconds of waiting for its end. Raises `TaskNotFound`."""
    room: WaitingRoom = current_app.extensions["waiting_room"]
    return room.wait(task_id, seconds)
