"""How long recovery took: for each fault, the longest time a task was stranded after it.

Waiting in a queue that moves is not being stranded. A task is stranded while it is held by a worker
that was lost, overdue, left behind by a task that joined the same queue later, or while nothing at
all is started.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.evidence import Evidence, Strike
from chaos.witness import Change
from tasks.lifecycle import FINISHED, Outcome, Status

SWEEP = 2.0  # seconds the scheduler may take to notice
HASTE = 3.0  # … more on a machine that starts processes at the same time
MARGIN = 1.0  # … by which tasks of one queue may overtake each other
NEVER = float("inf")


@dataclass(frozen=True)
class Stretch:
    """A time in which a task was stranded."""

    task_id: str
    began: float  # seconds of the epoch
    ended: float
    why: str


@dataclass(frozen=True)
class Recovery:
    """What one fault did to the tasks that were there."""

    strike: Strike
    affected: int  # tasks that were accepted and not finished then, or came before it was over
    longest: float  # seconds the slowest of them was stranded
    slowest: Stretch | None
    allowed: float  # … at most, for that one
    next_done: float | None  # seconds until the next task was done


def recoveries(evidence: Evidence) -> list[Recovery]:
    """One after the other, as they struck."""
    stretches = list(Stranding(evidence).all())
    ends = sorted(
        change.at
        for changes in evidence.history.values()
        for change in changes
        if change.was == Status.RUNNING and change.is_now in FINISHED
    )
    found = []
    for index, strike in enumerate(evidence.strikes):
        later = evidence.strikes[index + 1 :]
        until = later[0].began if later else NEVER
        mine = [each for each in stretches if each.began < until and each.ended > strike.since]
        worst = max(
            mine, key=lambda each: over_the_limit(evidence, strike, later, each), default=None
        )
        following = bisect_left(ends, strike.since)
        found.append(
            Recovery(
                strike,
                sum(affected(changes, strike) for changes in evidence.history.values()),
                max((length(each, strike) for each in mine), default=0.0),
                worst,
                allowed(evidence, later, worst) if worst else allowed(evidence, [], None),
                ends[following] - strike.since if following < len(ends) else None,
            )
        )
    return found


def length(stretch: Stretch, strike: Strike) -> float:
    """Seconds of it after that strike."""
    return stretch.ended - max(stretch.began, strike.since)


def over_the_limit(
    evidence: Evidence, strike: Strike, later: Sequence[Strike], stretch: Stretch
) -> float:
    return length(stretch, strike) - allowed(evidence, later, stretch)


def allowed(evidence: Evidence, later: Sequence[Strike], stretch: Stretch | None) -> float:
    """Seconds until a death is noticed and swept up; anew after each strike that came between."""
    once = evidence.lease + SWEEP + HASTE
    between = [strike for strike in later if stretch and strike.began < stretch.ended]
    return once + sum(strike.over - strike.began + once for strike in between)


def affected(changes: Sequence[Change], strike: Strike) -> bool:
    """Whether a task was there, unfinished, or came before the strike was over."""
    if strike.since < changes[0].at < strike.over:
        return True
    if changes[0].at > strike.since or changes[-1].at < strike.since:
        return False
    last = [change for change in changes if change.at <= strike.since][-1]
    return last.is_now not in FINISHED


class Stranding:
    """Looks for the times in which tasks were stranded."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._lost = {
            (id, attempt.number)
            for id, attempts in evidence.attempts.items()
            for attempt in attempts
            if attempt.outcome == Outcome.LOST
        }
        self._starts: list[float] = []
        by_queue: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for id, changes in evidence.history.items():
            for before, change in pairwise(changes):
                if change.is_now == Status.RUNNING:
                    self._starts.append(change.at)
                    by_queue[evidence.rows[id].queue].append((change.at, before.at))
        self._starts.sort()
        self._starts_of = {queue: sorted(starts) for queue, starts in by_queue.items()}

    def all(self) -> Iterator[Stretch]:
        for id, changes in self._evidence.history.items():
            queue = self._evidence.rows[id].queue
            for change, following in pairwise(changes):
                if change.is_now == Status.SCHEDULED:
                    due = max(change.at, change.run_at or change.at)
                    if following.is_now == Status.PENDING:
                        yield Stretch(id, due, following.at, "overdue")
                elif change.is_now == Status.RUNNING and (id, change.attempt) in self._lost:
                    yield Stretch(id, change.at, following.at, "held by a lost worker")
                elif change.is_now == Status.PENDING:
                    yield from self._waiting(id, queue, change.at, following.at)

    def _waiting(self, id: str, queue: str, since: float, until: float) -> Iterator[Stretch]:
        """Of the time in which a task was pending, that in which it lacked more than its turn."""
        left_behind = self._left_behind(queue, since, until)
        if left_behind is not None:
            yield Stretch(id, left_behind, until, "left behind")
        first = bisect_right(self._starts, since)
        last = bisect_left(self._starts, until)
        moments = [since, *self._starts[first:last], until]
        silent = max(pairwise(moments), key=lambda pair: pair[1] - pair[0])
        yield Stretch(id, *silent, "nothing was started")

    def _left_behind(self, queue: str, since: float, until: float) -> float | None:
        """When a task was started that had joined this queue later."""
        starts = self._starts_of.get(queue, [])
        first, last = bisect_right(starts, (since, NEVER)), bisect_left(starts, (until,))
        return next((at for at, joined in starts[first:last] if joined > since + MARGIN), None)
