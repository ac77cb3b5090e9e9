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
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate, pairwise

from chaos.evidence import Evidence, Strike
from tasks.lifecycle import FINISHED, Outcome, Status

SWEEP = 2.0  # seconds the scheduler may take to notice
HASTE = 3.0  # … more on a machine that starts processes at the same time
LEFT_BEHIND = 14.0  # … until it believes that a queue has left a task behind: see decision 0011
MARGIN = 1.0  # … by which tasks of one queue may overtake each other
BRIEF = 0.1  # … that nobody counts
NEVER = float("inf")


class Why(StrEnum):
    """What a stranded task lacked."""

    OVERDUE = "overdue"
    LOST = "held by a lost worker"
    LEFT_BEHIND = "left behind by its queue"
    SILENCE = "pending while nothing was started"


@dataclass(frozen=True)
class Stretch:
    """A time in which a task was stranded."""

    task_id: str
    began: float  # seconds of the epoch
    ended: float
    why: Why


@dataclass(frozen=True)
class Recovery:
    """What one fault did to the tasks that were there."""

    strike: Strike
    affected: int  # tasks that were there or came, and had a way to go
    slowest: Stretch | None
    longest: float  # seconds the slowest of them was stranded after the strike
    late: list[str]  # what took longer than is allowed
    next_done: float | None  # seconds until the next task was done
    besides: list[str]  # what else was broken before the slowest of them had recovered


@lru_cache(maxsize=1)
def recoveries(evidence: Evidence) -> list[Recovery]:
    """One after the other, as they struck; several ask for those of one run."""
    stretches = list(Stranding(evidence).all())
    came = sorted(changes[0].at for changes in evidence.history.values())
    went = sorted(changes[-1].at for changes in evidence.history.values())
    ends = sorted(
        change.at
        for changes in evidence.history.values()
        for change in changes
        if change.was == Status.RUNNING and change.is_now in FINISHED
    )
    found = []
    for index, strike in enumerate(evidence.strikes):
        later = evidence.strikes[index + 1 :]
        mine = [each for each in stretches if is_of(strike, later, each)]
        slowest = max(mine, key=lambda each: length(each, strike), default=None)
        following = bisect_left(ends, strike.since)
        found.append(
            Recovery(
                strike,
                bisect_left(came, strike.over) - bisect_left(went, strike.since),
                slowest,
                length(slowest, strike) if slowest else 0.0,
                [lateness(each, strike) for each in mine if is_late(evidence, strike, later, each)],
                ends[following] - strike.since if following < len(ends) else None,
                [each.name for each in later if slowest and each.began < slowest.ended],
            )
        )
    return found


def is_of(strike: Strike, later: Sequence[Strike], stretch: Stretch) -> bool:
    """Whether a task was stranded after that strike, and not only by one that came later.

    What a worker began after the strike was over it did not lose by it.
    """
    if stretch.ended <= strike.since or (later and stretch.began >= later[0].began):
        return False
    lost_later = any(each.began < stretch.ended for each in later) and stretch.began > strike.over
    return not (stretch.why is Why.LOST and lost_later)


def length(stretch: Stretch, strike: Strike) -> float:
    """Seconds of it after that strike."""
    return stretch.ended - max(stretch.began, strike.since)


def is_late(evidence: Evidence, strike: Strike, later: Sequence[Strike], stretch: Stretch) -> bool:
    """Whether it took longer than until a death is noticed and swept up, or a lost job is missed.

    That time begins anew with each strike that came in between.
    """
    once = HASTE + (LEFT_BEHIND if stretch.why is Why.LEFT_BEHIND else evidence.lease + SWEEP)
    between = [each for each in later if each.began < stretch.ended]
    allowed = once + sum(each.over - each.began + once for each in between)
    return length(stretch, strike) > allowed


def lateness(stretch: Stretch, strike: Strike) -> str:
    return f"task {stretch.task_id} was {stretch.why} for {length(stretch, strike):.1f} s"


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
        starts: list[float] = []
        by_queue: dict[str, list[tuple[float, float]]] = defaultdict(list)  # joined, started
        for id, changes in evidence.history.items():
            for before, change in pairwise(changes):
                if change.is_now == Status.RUNNING:
                    starts.append(change.at)
                    if before.was != Status.RUNNING:  # what was given back goes to the front
                        by_queue[evidence.rows[id].queue].append((before.at, change.at))
        self._silences = [
            (began, ended)
            for began, ended in pairwise([0.0, *sorted(starts), NEVER])
            if ended - began > BRIEF
        ]
        self._queues = {queue: Queue(turns) for queue, turns in by_queue.items()}

    def all(self) -> Iterator[Stretch]:
        return (each for each in self._all() if each.ended - each.began > BRIEF)

    def _all(self) -> Iterator[Stretch]:
        for id, changes in self._evidence.history.items():
            queue = self._evidence.rows[id].queue
            for change, following in pairwise(changes):
                if change.is_now == Status.SCHEDULED:
                    due = max(change.at, change.run_at or change.at)
                    if following.is_now == Status.PENDING:
                        yield Stretch(id, due, following.at, Why.OVERDUE)
                elif change.is_now == Status.RUNNING and (id, change.attempt) in self._lost:
                    yield Stretch(id, change.at, following.at, Why.LOST)
                elif change.is_now == Status.PENDING:
                    yield from self._waiting(id, queue, change.at, following.at)

    def _waiting(self, id: str, queue: str, since: float, until: float) -> Iterator[Stretch]:
        """Of the time in which a task was pending, that in which it lacked more than its turn."""
        if queue in self._queues:
            yield Stretch(id, self._queues[queue].first_after(since), until, Why.LEFT_BEHIND)
        first = bisect_right(self._silences, (since,)) - 1
        for began, ended in self._silences[max(0, first) :]:
            if began > until:
                break
            yield Stretch(id, max(began, since), min(ended, until), Why.SILENCE)


class Queue:
    """When those who joined one queue had their turns."""

    def __init__(self, turns: list[tuple[float, float]]) -> None:
        turns.sort()
        self._joined = [joined for joined, _ in turns]
        earliest = accumulate((started for _, started in reversed(turns)), min)
        self._earliest = [*reversed(list(earliest)), NEVER]  # of this one and all who joined later

    def first_after(self, joined: float) -> float:
        """When the first of those had its turn that joined later than this."""
        return self._earliest[bisect_right(self._joined, joined + MARGIN)]
