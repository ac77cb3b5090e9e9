"""What every task ought to be, whatever happens in whatever order: the guarantee, in Python.

It knows no database and no Redis, and has its own idea of which moves there are. What really
happens is told to it afterwards; it says whether that was allowed, and what has to be true now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeVar
from uuid import UUID

from tasks.lifecycle import FINISHED, Outcome, Status

LEASE = 60.0  # seconds
WAIT = 60.0  # seconds that handlers ask for when they ask for later
LONGEST_BACKOFF = 600.0  # seconds; after a crash the wait is drawn by chance
MAX_CRASHES = 3
KEY_HOURS = 24.0

Key = TypeVar("Key", UUID, str)

P, R, S = Status.PENDING, Status.RUNNING, Status.SCHEDULED
MOVES = {  # from where to where, and nowhere else
    None: {P, S},
    S: {P, Status.CANCELLED},
    P: {R, Status.CANCELLED},
    R: {P, S, *FINISHED},
    Status.FAILED: {P},
    Status.CANCELLED: {P},
    Status.SUCCEEDED: set(),
}


class How(StrEnum):
    """How an attempt ends, in the words of whoever holds it."""

    SUCCEED = "succeed"
    RAISE = "raise"
    TIME_OUT = "time out"
    GIVE_UP = "give up"
    RETRY_LATER = "retry later"
    SNOOZE = "snooze"
    RELEASE = "release"
    CRASH = "crash"


OUTCOMES = {
    How.SUCCEED: Outcome.SUCCEEDED,
    How.TIME_OUT: Outcome.TIMED_OUT,
    How.SNOOZE: Outcome.RELEASED,
    How.RELEASE: Outcome.RELEASED,
    How.CRASH: Outcome.CRASHED,
}


class Moment(NamedTuple):
    """Between a question and its answer; when exactly, only PostgreSQL knows."""

    earliest: float  # seconds
    latest: float

    def plus(self, seconds: float, up_to: float | None = None) -> Moment:
        return Moment(self.earliest + seconds, self.latest + (seconds if up_to is None else up_to))

    def has_surely_come(self, now: Moment) -> bool:
        return self.latest <= now.earliest

    def may_have_come(self, now: Moment) -> bool:
        return self.earliest <= now.latest


class Claim(NamedTuple):
    """An attempt, and who holds it."""

    task_id: UUID
    number: int
    worker: str


@dataclass
class Life:
    """One task as it ought to be."""

    max_retries: int
    status: Status | None = None
    due: Moment | None = None
    expires: Moment | None = None
    attempt: int = 0
    worker: str | None = None
    failures: int = 0
    crashes: int = 0
    ended: list[tuple[int, str, Outcome]] = field(default_factory=list)
    result: int | None = None  # the number of the attempt that succeeded
    progress: int | None = None  # the number of the attempt that said something


class Model:
    """All tasks, leases and keys as they ought to be."""

    def __init__(self) -> None:
        self.lives: dict[UUID, Life] = {}
        self.leases: dict[str, Moment] = {}  # of every worker that was not buried
        self.keys: dict[str, tuple[str, UUID, Moment]] = {}  # key → body, task, since when
        self.moves: Counter[tuple[str, str]] = Counter()

    # -- what clients ask -----------------------------------------------------------------------

    def submitted(
        self, id: UUID, max_retries: int, due: Moment | None, expires: Moment | None
    ) -> None:
        assert id not in self.lives
        self.lives[id] = Life(max_retries, due=due, expires=expires)
        self._move(id, S if due else P)

    def remembered(self, key: str, now: Moment) -> tuple[str, UUID] | None:
        """The body and the task that a key stands for."""
        if key not in self.keys:
            return None
        body, id, since = self.keys[key]
        return None if since.plus(KEY_HOURS * 3600).has_surely_come(now) else (body, id)

    def may_be_cancelled(self, id: UUID) -> bool:
        return self.lives[id].status not in FINISHED

    def cancelled(self, id: UUID) -> None:
        if self.lives[id].status is R:
            self._ended(id, Outcome.CANCELLED)
        self._move(id, Status.CANCELLED)

    def may_be_rerun(self, id: UUID) -> bool:
        return self.lives[id].status in {Status.FAILED, Status.CANCELLED}

    def rerun(self, id: UUID, now: Moment) -> None:
        life = self.lives[id]
        life.failures = life.crashes = 0
        life.progress = None
        if life.expires and life.expires.has_surely_come(now):
            life.expires = None
        self._move(id, P)

    # -- what workers do ------------------------------------------------------------------------

    def started(self, claim: Claim, now: Moment) -> None:
        life = self.lives[claim.task_id]
        assert claim.worker in self.leases, "a worker that was buried has started a task"
        assert not self.leases[claim.worker].has_surely_come(now), "started without a lease"
        assert not (life.expires and life.expires.has_surely_come(now)), "started too late"
        self._move(claim.task_id, R)
        life.attempt, life.worker, life.progress = life.attempt + 1, claim.worker, None
        assert claim.number == life.attempt

    def is_held(self, claim: Claim) -> bool:
        life = self.lives[claim.task_id]
        return (life.status, life.attempt, life.worker) == (R, claim.number, claim.worker)

    def said(self, claim: Claim, how: How, now: Moment) -> bool:
        """Whether this word counts, because its attempt is held."""
        if not self.is_held(claim):
            return False
        life = self.lives[claim.task_id]
        self._ended(claim.task_id, OUTCOMES.get(how, Outcome.FAILED))
        if how is How.SUCCEED:
            life.result = claim.number
            self._move(claim.task_id, Status.SUCCEEDED)
        elif how is How.RELEASE:
            self._move(claim.task_id, P)
        elif how is How.SNOOZE:
            self._move(claim.task_id, S, now.plus(WAIT))
        elif how is How.CRASH:
            self._crashed(claim.task_id, now)
        else:
            spent = life.failures >= life.max_retries or how is How.GIVE_UP
            life.failures += 1
            wait = WAIT if how is How.RETRY_LATER else 0
            self._move(claim.task_id, *((Status.FAILED,) if spent else (S, now.plus(wait))))
        return True

    def told_progress(self, claim: Claim) -> bool:
        """The same for a word about how far the work is."""
        if self.is_held(claim):
            self.lives[claim.task_id].progress = claim.number
            return True
        return False

    # -- what the clock does --------------------------------------------------------------------

    def due(self, now: Moment) -> tuple[set[UUID], set[UUID]]:
        """What has to be dispatched now, and what may be."""
        times = {id: life.due for id, life in self.lives.items() if life.status is S and life.due}
        return come(times, now)

    def dispatched(self, id: UUID) -> None:
        self._move(id, P)

    def late(self, now: Moment) -> tuple[set[UUID], set[UUID]]:
        """What has to be expired now, and what may be."""
        times = {id: life.expires for id, life in self.lives.items()
                 if life.status in {S, P} and life.expires}  # fmt: skip
        return come(times, now)

    def silent(self, now: Moment) -> tuple[set[str], set[str]]:
        """Which workers have to be buried now, and which may be."""
        return come(self.leases, now)

    def orphans(self) -> set[UUID]:
        """What nobody holds who has a life."""
        return {
            id
            for id, life in self.lives.items()
            if life.status is R and life.worker not in self.leases
        }

    def lost(self, id: UUID, now: Moment) -> None:
        self._ended(id, Outcome.LOST)
        self._crashed(id, now)

    # -- what has to be true --------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        return all(life.status in FINISHED for life in self.lives.values())

    def _move(self, id: UUID, to: Status, due: Moment | None = None) -> None:
        life = self.lives[id]
        assert to in MOVES[life.status], f"from {life.status} to {to}"
        self.moves[str(life.status or ""), str(to)] += 1
        if life.status is not None:
            life.due = due
        life.status = to

    def _ended(self, id: UUID, outcome: Outcome) -> None:
        life = self.lives[id]
        assert life.worker is not None
        life.ended.append((life.attempt, life.worker, outcome))

    def _crashed(self, id: UUID, now: Moment) -> None:
        life = self.lives[id]
        life.crashes += 1
        if life.crashes >= MAX_CRASHES:
            self._move(id, Status.FAILED)
        else:
            self._move(id, S, now.plus(0, up_to=LONGEST_BACKOFF))


def come(times: Mapping[Key, Moment], now: Moment) -> tuple[set[Key], set[Key]]:
    """Whose time has surely come, and whose may have."""
    surely = {each for each, time in times.items() if time.has_surely_come(now)}
    return surely, {each for each, time in times.items() if time.may_have_come(now)}
