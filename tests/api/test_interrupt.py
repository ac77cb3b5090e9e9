"""Whatever it interrupts, a signal's handler can say that the main loop has something to do."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api.interrupt import Interrupt


@contextmanager
def handled(interrupt: Interrupt) -> Iterator[None]:
    """Let a signal's handler set it, in this very thread."""
    before = signal.signal(signal.SIGALRM, lambda *_: interrupt.set())
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.timeout(30, method="thread")
def test_a_handler_may_set_it_at_any_moment() -> None:
    interrupt = Interrupt()
    with handled(interrupt):
        for number in range(20_000):
            # At once, and rarely again, so that a slow machine has time for more than handlers.
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + number % 50), 0.0005)
            while not interrupt.wait():
                pass
            interrupt.clear()


def test_another_thread_may_set_it() -> None:
    interrupt = Interrupt()
    threading.Timer(0.05, interrupt.set).start()

    assert interrupt.wait(10)
    assert interrupt.is_set()


def test_it_waits_no_longer_than_asked() -> None:
    interrupt = Interrupt()
    began = time.monotonic()

    assert not interrupt.wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_once_set_nobody_waits_until_it_is_cleared() -> None:
    interrupt = Interrupt()
    interrupt.set()

    assert interrupt.wait(0) and interrupt.wait(0)
    interrupt.clear()
    assert not interrupt.is_set() and not interrupt.wait(0)
