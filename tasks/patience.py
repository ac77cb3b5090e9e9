"""How long this process waits for PostgreSQL before it says so.

A frozen or cut-off server answers nothing, and libpq would wait for ever. With a wait callback
psycopg2 waits in here instead, so a transaction has one deadline for all its statements; past it
the connection is closed, because nobody knows what the server made of the last one.
"""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions


class _Limits(threading.local):
    deadline: float | None = None  # of this thread's transaction, in monotonic seconds


_limits = _Limits()
_seconds: float | None = None  # that a transaction, or a statement outside of one, may take


def wait_at_most(seconds: float | None) -> None:
    """Let no transaction of this process wait longer than this for its answers; None: no limit.

    Waiting in Python, it can be interrupted by a signal's handler, which libpq's own cannot.
    """
    global _seconds
    _seconds = seconds
    extensions.set_wait_callback(_wait)


@contextmanager
def one_deadline() -> Iterator[None]:
    """What is done in this block has to be answered within the process's patience, all in all."""
    before = _limits.deadline
    _limits.deadline = None if _seconds is None else time.monotonic() + _seconds
    try:
        yield
    finally:
        _limits.deadline = before


def _wait(connection: Any) -> None:
    deadline = _limits.deadline
    if deadline is None and _seconds is not None:
        deadline = time.monotonic() + _seconds
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        ready = select.poll()
        ready.register(
            connection.fileno(),
            select.POLLIN if state == extensions.POLL_READ else select.POLLOUT,
        )
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not ready.poll(left):
            raise psycopg2.OperationalError(f"PostgreSQL did not answer within {_seconds} s.")
