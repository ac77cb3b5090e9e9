"""How far ahead a worker may claim: as much as its horses begin within moments.

A claimed task cannot be run by another worker, so claiming ahead is right only while tasks are
short. The pace follows what recent tasks took; a worker that knows nothing claims one per horse.
"""

SOON = 0.03  # seconds within which a claimed task should begin
FURTHEST = 100  # tasks ahead of one horse, however short they are
MEMORY = 0.1  # weight of the latest task in the average


class Pace:
    """A moving average of how long ordinary tasks run."""

    def __init__(self) -> None:
        self._average: float | None = None  # seconds

    def note(self, seconds: float) -> None:
        """A task took this long."""
        if self._average is None:
            self._average = seconds
        else:
            self._average += MEMORY * (seconds - self._average)

    def ahead(self) -> int:
        """How many tasks may queue behind the one that a horse runs."""
        if self._average is None:
            return 0
        return min(FURTHEST, int(SOON / max(self._average, 1e-6)))
