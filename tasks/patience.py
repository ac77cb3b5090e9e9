"""How long this process waits for PostgreSQL before it says so.

A frozen or cut-off server answers nothing, and libpq would wait for ever. With a wait callback
psycopg2 waits in here instead, so every statement has a deadline; past it the connection is
closed, because nobody knows what the server made of the statement.
"""

import select
import time
from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2 import extensions


def patience(seconds: float | None) -> Callable[[Any], None]:
    """A wait callback for `psycopg2.extensions.set_wait_callback`; None waits for ever.

    Waiting in Python, it can be interrupted by a signal's handler, which libpq's own cannot.
    """

    def wait(connection: Any) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            state = connection.poll()
            if state == extensions.POLL_OK:
                return
            ready = select.poll()
            ready.register(
                connection.fileno(),
                select.POLLIN if state == extensions.POLL_READ else select.POLLOUT,
            )
            left = None if deadline is None else deadline - time.monotonic()
            if left is None:
                ready.poll()
            elif left <= 0 or not ready.poll(left * 1000):
                raise psycopg2.OperationalError(f"PostgreSQL did not answer in {seconds} s.")

    return wait


def wait_at_most(seconds: float | None) -> None:
    """Let no statement of this process wait longer than this for an answer."""
    extensions.set_wait_callback(patience(seconds))
