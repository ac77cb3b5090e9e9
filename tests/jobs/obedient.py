"""Kinds whose handlers do what their payload says: succeed, raise, sleep, die."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import text

from jobs.context import Context
from tasks import actions
from tasks.actions import Submission
from tasks.catalog import handles
from tasks.errors import GiveUp, RetryLater, Snooze
from tasks.retry import Backoff

SOON = Backoff(first_wait=timedelta(), jitter=False)


KEPT: dict[str, bytearray] = {}


class Orders(Schema):
    do = fields.String(load_default="succeed")
    seconds = fields.Float(load_default=0.0)
    value = fields.Raw(load_default=None, allow_none=True)


def obey(do: str, seconds: float, value: Any, context: Context) -> Any:
    """Do it."""
    deeds = {
        "succeed": lambda: value,
        "raise": lambda: _raise(ValueError("as ordered")),
        "give up": lambda: _raise(GiveUp("as ordered")),
        "retry later": lambda: _raise(RetryLater(seconds)) if context.attempt == 1 else "later",
        "snooze": lambda: _raise(Snooze(seconds)) if context.attempt == 1 else "awake",
        "sleep": lambda: time.sleep(seconds),
        "swallow": lambda: _swallow(seconds),
        "exit": lambda: os._exit(0),
        "leave": lambda: _raise(SystemExit(3)),
        "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "segfault": lambda: ctypes.string_at(0),
        "say": lambda: _say(context, seconds),
        "log": lambda: context.logger.info("a word from the handler") or context.idempotency_key,
        "count": lambda: _count(context),
        "count and raise": lambda: _count(context) or _raise(ValueError("after counting")),
        "note": lambda: _note(value, context),
        "note and fail once": lambda: (_note(value, context), _fail_once(context))[1],
        "submit": lambda: str(actions.submit(Submission(name="obey")).id),
        "ask PostgreSQL": lambda: _ask_postgres(context, seconds),
        "grow": lambda: len(KEPT.setdefault("megabytes", bytearray(int(seconds) * 1_000_000))),
        "who": lambda: {"pid": os.getpid(), "thread": threading.current_thread().name},
        "surround": lambda: logging.getLogger("elsewhere").info("deep inside"),
        "set": lambda: {1, 2},
        "nul": lambda: "a\0b",
        "large": lambda: "x" * int(seconds),
    }
    return deeds[do]()


def _raise(error: BaseException) -> None:
    raise error


def _swallow(seconds: float) -> None:
    """Go on whatever happens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(BaseException):  # the handler that must be killed
            time.sleep(0.05)


def _note(path: str, context: Context) -> int:
    """Leave a line that proves this execution."""
    with Path(path).open("a") as file:
        file.write(f"{context.task_id} {context.attempt}\n")
    return context.attempt


def _fail_once(context: Context) -> int:
    if context.attempt == 1:
        raise ValueError("the first attempt fails")
    return context.attempt


def _say(context: Context, seconds: float) -> None:
    context.progress(1, 2, "half way")
    time.sleep(seconds)


def _count(context: Context) -> None:
    context.session.execute(
        text("INSERT INTO audit (principal, action) VALUES ('handler', 'counted')")
    )


def _ask_postgres(context: Context, seconds: float) -> None:
    """A query that takes so long."""
    context.session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})


@handles("obey", Orders, retry=SOON)
def obey_on_a_horse(do: str, seconds: float, value: Any, context: Context) -> Any:
    """Runs in a horse's main thread."""
    return obey(do, seconds, value, context)


@handles("obey.waiting", Orders, retry=SOON, io=True)
def obey_on_a_thread(do: str, seconds: float, value: Any, context: Context) -> Any:
    """Runs on one of a horse's threads."""
    return obey(do, seconds, value, context)
