"""Stopping a handler from outside: timeouts by a timer, cancellation by a signal.

Both arrive in the horse's main thread. A handler that runs there gets the exception raised where
it stands; one that runs on a thread of its own gets it at its next bytecode
(`PyThreadState_SetAsyncExc`). Neither is an `Exception`, so `except Exception` does not swallow it;
what does not react is killed with its horse by the worker.
"""

import ctypes
import signal
import threading
import time
from collections import deque
from types import FrameType

from jobs.perform import Performance
from tasks.errors import Cancelled, Interruption, TimedOut

NEVER = float("inf")


class Interrupts:
    """The attempts under way in this horse, and when each has to end."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._running: dict[str, tuple[Performance, float, int]] = {}  # id → deadline, thread
        self._doomed: deque[tuple[str, int]] = deque(maxlen=100)  # cancelled before they began
        self._next = NEVER
        self._main = threading.main_thread().ident
        signal.signal(signal.SIGALRM, self._on_alarm)

    def begin(self, performance: Performance) -> None:
        """An attempt begins in this thread; its time runs from now."""
        assignment = performance.assignment
        deadline = time.monotonic() + assignment.timeout
        with self._lock:
            if (assignment.task_id, assignment.attempt) in self._doomed:
                raise Cancelled()
            self._running[assignment.task_id] = (performance, deadline, threading.get_ident())
        if deadline < self._next:
            self._set_timer(deadline, assignment.timeout)

    def end(self, performance: Performance) -> None:
        """An attempt has ended; nothing interrupts it any more."""
        with self._lock:
            known = self._running.pop(performance.assignment.task_id, None)
            if known is None and threading.get_ident() != self._main:
                _throw_into(threading.get_ident(), None)  # take back what has not arrived yet

    def cancel(self, task_id: str, attempt: int) -> None:
        """Stop this attempt if it still runs."""
        with self._lock:
            found = self._running.get(task_id)
            if found is None or found[0].assignment.attempt != attempt:
                self._doomed.append((task_id, attempt))  # it has ended, or it is about to begin
                return
            del self._running[task_id]
            found[0].context.cancelled = True
            self._interrupt(found[2], Cancelled)

    def _set_timer(self, deadline: float, seconds: float) -> None:
        self._next = deadline
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        with self._lock:
            everyone = list(self._running.values())
            late = [each for each in everyone if each[1] <= now]
            coming = [each[1] for each in everyone if each[1] > now]
            for performance, _, _ in late:
                self._running.pop(performance.assignment.task_id, None)
            self._next = NEVER
            if coming:
                self._set_timer(min(coming), min(coming) - now)
            # This thread is the main one: what is raised here ends the loop, so it comes last.
            for _, _, thread in sorted(late, key=lambda each: each[2] == self._main):
                self._interrupt(thread, TimedOut)

    def _interrupt(self, thread: int, error: type[Interruption]) -> None:
        if thread == self._main:
            raise error()
        _throw_into(thread, error)


def _throw_into(thread: int, error: type[Interruption] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(error) if error else None
    )
