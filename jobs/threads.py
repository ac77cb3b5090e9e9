"""The threads of a horse, for tasks that mostly wait.

The queues are the interpreter's own: for each task a `ThreadPoolExecutor` makes a future with a
lock and a condition, which takes a third of what a short task costs its horse.
"""

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from jobs.assignment import Assignment

log = logging.getLogger(__name__)


class Threads:
    """As many threads as are needed at a time, up to a number."""

    def __init__(self, most: int, run: Callable[[Assignment], None]) -> None:
        self._most, self._run = most, run
        self._idle: SimpleQueue[None] = SimpleQueue()  # one for each that has nothing to do
        self._assignments: SimpleQueue[Assignment | None] = SimpleQueue()  # None: no more
        self._threads: list[threading.Thread] = []
        self._is_new = False  # what is reserved is yet to be started

    def reserve(self, *, wait: bool) -> bool:
        """Keep a thread for the next assignment; False if all are busy, unless told to wait."""
        try:
            self._idle.get_nowait()
        except Empty:
            self._is_new = len(self._threads) < self._most
            if not self._is_new and wait:
                self._idle.get()
            return self._is_new or wait
        return True

    def give(self, assignment: Assignment) -> None:
        """Run this on the thread that is reserved."""
        if self._is_new:
            self._is_new = False
            name = f"waiting_{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._serve, name=name))
            self._threads[-1].start()
        self._assignments.put(assignment)

    def finish(self) -> None:
        """Return when everything that was given has ended."""
        for _ in self._threads:
            self._assignments.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (assignment := self._assignments.get()) is not None:
            try:
                self._run(assignment)
            except BaseException:
                log.exception("task %s ended its thread's work", assignment.task_id)
            self._idle.put(None)
