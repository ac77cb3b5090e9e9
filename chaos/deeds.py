"""What chaos's handlers do: nothing, wait, fail, die. The same for every system under test."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from chaos.executions import Attempt, noted

WAYS_TO_DIE = ("kill", "segfault", "exit")


class Failure(Exception):
    """The handler was told to fail."""


def do(attempt: Attempt, *, seconds: float = 0, fail_times: int = 0) -> dict[str, Any]:
    """Take a while, fail the first so many attempts, and return who did it."""
    with noted(attempt):
        if seconds:
            time.sleep(seconds)
        if attempt.number <= fail_times:
            raise Failure(f"attempt {attempt.number} of {fail_times} that fail")
        return signature(attempt)


def die(attempt: Attempt, how: str, times: int) -> dict[str, Any]:
    """Take the whole process down at the first so many attempts."""
    with noted(attempt):
        if attempt.number <= times:
            if how == "exit":
                os._exit(0)
            os.kill(os.getpid(), signal.SIGSEGV if how == "segfault" else signal.SIGKILL)
            time.sleep(5)
        return signature(attempt)


def signature(attempt: Attempt) -> dict[str, Any]:
    """The result, by which it is known which attempt wrote it."""
    return {"task_id": attempt.task_id, "attempt": attempt.number, "pid": os.getpid()}
