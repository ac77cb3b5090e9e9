"""How far ahead a worker may claim: as much as its horses begin within moments.

A claimed task cannot be run by another worker, so claiming ahead is right only while tasks are
short. The pace follows what recent tasks took; a worker that knows nothing claims one per horse,
and one per thread.
"""

from typing import NamedTuple

SOON = 0.03  # seconds within which a claimed task should begin
FURTHEST = 400  # ordinary tasks ahead of one horse, however short they are
MEMORY = 0.1  # weight of the latest task in the average
BRISK = 500  # ordinary tasks that end in a second
COUNTED = 0.1  # seconds over which they are counted


class Ahead(NamedTuple):
    """How much may queue at one horse behind what it runs."""

    ordinary: int  # tasks
    waiting: float  # tasks per thread, at most 1


class Pace:
    """Moving averages of how long tasks run."""

    def __init__(self) -> None:
        self._ordinary: float | None = None  # seconds
        self._waiting: float | None = None
        self._ended, self._since = 0, 0.0  # ordinary tasks, and the moment from which they count
        self._brisk = False

    def note(self, seconds: float, *, waiting: bool) -> None:
        """A task took this long."""
        if waiting:
            self._waiting = _average(self._waiting, seconds)
        else:
            self._ordinary = _average(self._ordinary, seconds)
            self._ended += 1

    def is_brisk(self, now: float) -> bool:
        """Whether so many tasks end that some always come together; `now` is monotonic."""
        passed = now - self._since
        if passed >= COUNTED:
            self._brisk = self._ended >= BRISK * passed
            self._ended, self._since = 0, now
        return self._brisk

    def ahead(self) -> Ahead:
        """How much may be claimed ahead now."""
        ordinary, waiting = self._ordinary, self._waiting
        return Ahead(
            0 if ordinary is None else min(FURTHEST, int(SOON / max(ordinary, 1e-6))),
            0.0 if waiting is None else min(1.0, SOON / max(waiting, 1e-6)),
        )


def _average(before: float | None, seconds: float) -> float:
    return seconds if before is None else before + MEMORY * (seconds - before)
