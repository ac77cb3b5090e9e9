"""How long recovery took: for each fault, the longest time a task was stranded after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.evidence import Evidence, Strike
from chaos.witness import Change
from tasks.lifecycle import FINISHED, Outcome, Status

SWEEP = 2.0  # seconds the scheduler may take to notice
HASTE = 3.0  # … more on a machine that starts processes at the same time
DRAINED = 100.0  # tasks per second that are caught up with at least


@dataclass(frozen=True)
class Recovery:
    """What one fault did to the tasks that were there."""

    strike: Strike
    affected: int  # tasks that were accepted and not finished then, or came before it was over
    longest: float  # seconds the slowest of them was stranded
    slowest: str | None


def recoveries(evidence: Evidence) -> Iterator[Recovery]:
    """One after the other, as they struck."""
    lost = {
        (id, attempt.number)
        for id, attempts in evidence.attempts.items()
        for attempt in attempts
        if attempt.outcome == Outcome.LOST
    }
    for strike in evidence.strikes:
        longest, slowest, affected = 0.0, None, 0
        for id, changes in evidence.history.items():
            if not (unfinished_at(changes, strike.since) or began_in(changes, strike)):
                continue
            affected += 1
            seconds = stranded(id, changes, strike.since, lost)
            if seconds > longest:
                longest, slowest = seconds, id
        yield Recovery(strike, affected, longest, slowest)


def began_in(changes: Sequence[Change], strike: Strike) -> bool:
    return strike.since < changes[0].at < strike.over


def unfinished_at(changes: Sequence[Change], moment: float) -> bool:
    if changes[0].at > moment or changes[-1].at < moment:
        return False
    last = [change for change in changes if change.at <= moment][-1]
    return last.is_now not in FINISHED


def stranded(id: str, changes: Sequence[Change], since: float, lost: set[tuple[str, int]]) -> float:
    """Seconds after that moment in which nobody worked on a task whose time had come.

    It was pending, or overdue, or held by a worker that was already dead.
    """
    total = 0.0
    for change, following in pairwise(changes):
        began = change.at
        if change.is_now == Status.SCHEDULED:
            began = max(began, change.run_at or began)
        elif change.is_now == Status.RUNNING and (id, change.attempt) not in lost:
            continue
        elif change.is_now in FINISHED:
            break
        total += max(0.0, following.at - max(began, since))
    return total


def allowed(evidence: Evidence, recovery: Recovery) -> float:
    """Seconds a task may be stranded: until the death is noticed, and what waits is drained."""
    return evidence.lease + SWEEP + HASTE + recovery.affected / DRAINED
