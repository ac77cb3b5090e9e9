"""Wait for something to become true; the suite sleeps nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, within: float = 10, every: float = 0.02) -> T:
    """Call until the answer is true, or nothing is asserted wrongly any more, and return it.

    A condition that only asserts may return None. Past `within` seconds its last failure is raised.
    """
    deadline = time.monotonic() + within
    while True:
        failure: AssertionError | None = None
        try:
            answer = condition()
        except AssertionError as wrong:
            failure = wrong
        else:
            if answer or answer is None:
                return answer
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"not true within {within} seconds: {answer!r}")
        time.sleep(every)
