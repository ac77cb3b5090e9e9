"""Whether this process has kept watching: who looked away cannot tell who fell silent.

While PostgreSQL was away, hung or suspended, no worker could renew its lease, so every lease may
have run out without a single death. Workers get one whole lease to show up again. The gap is
measured on both clocks, PostgreSQL's and this machine's, because either may stand still or leap.
"""

import time


def elapsed() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Attention:
    """When this process last looked, and until when it trusts no lease."""

    def __init__(self, lease: float) -> None:
        self._lease = lease  # seconds
        self._looked: tuple[float, float] | None = None  # PostgreSQL's clock, ours
        self._quiet_until = 0.0  # ours

    def note(self, now: float) -> None:
        """A look succeeded, at this time on PostgreSQL's clock."""
        looked = (now, elapsed())
        if self._looked is not None:
            gap = max(after - before for before, after in zip(self._looked, looked, strict=True))
            if gap > self._lease / 3:
                self._quiet_until = looked[1] + self._lease
        self._looked = looked

    @property
    def is_whole(self) -> bool:
        """Whether a lease that has run out means that a worker is dead."""
        return elapsed() >= self._quiet_until
