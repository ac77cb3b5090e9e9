"""The client's ledger: what was asked, what was answered, and what nobody can know."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Any


class Answered(StrEnum):
    """What a client knows after a request."""

    OK = auto()  # 2xx: it was done
    REFUSED = auto()  # 4xx, or it certainly never reached the service: it was not done
    UNKNOWN = auto()  # no answer, or 5xx: it may have been done


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, or its absence."""

    at: float  # when it was asked: seconds of the epoch
    seconds: float
    status: int | None  # None: no answer
    body: Any = None
    retry_after: str | None = None
    replayed: bool = False
    reached: bool = True  # False: the connection was refused
    text: str = ""  # of an error

    @property
    def means(self) -> Answered:
        if self.status is None:
            return Answered.UNKNOWN if self.reached else Answered.REFUSED
        if 200 <= self.status < 300:
            return Answered.OK
        return Answered.UNKNOWN if self.status >= 500 else Answered.REFUSED


@dataclass(slots=True)
class Submission:
    """A request for one or more tasks, with its repeats."""

    label: str  # on each of its tasks
    asked: list[dict[str, Any]]
    key: str | None  # its Idempotency-Key
    answers: list[Answer] = field(default_factory=list)
    answered_ids: list[list[str]] = field(default_factory=list)  # of each 2xx

    @property
    def ids(self) -> list[str]:
        """What was acknowledged; empty if nothing ever was."""
        return self.answered_ids[0] if self.answered_ids else []

    @property
    def means(self) -> Answered:
        meanings = {answer.means for answer in self.answers}
        return next(
            each for each in (Answered.OK, Answered.UNKNOWN, Answered.REFUSED) if each in meanings
        )


@dataclass(frozen=True, slots=True)
class Request:
    """Anything else a client asked of one task."""

    act: str  # cancel, rerun, look, wait
    task_id: str
    answer: Answer


class Ledger:
    """Everything the clients of one run asked and heard."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.requests: list[Request] = []
        self.answers: list[tuple[str, Answer]] = []  # of everything, with what was asked
        self._lock = threading.Lock()

    def enter(self, submission: Submission) -> None:
        with self._lock:
            self.submissions.append(submission)

    def note(self, act: str, answer: Answer) -> None:
        with self._lock:
            self.answers.append((act, answer))

    def enter_request(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def acknowledged(self) -> set[str]:
        return {
            id for submission in self.submissions for ids in submission.answered_ids for id in ids
        }

    def count(self) -> Counter[Answered]:
        """How many tasks were asked for, by what is known of them."""
        counts: Counter[Answered] = Counter()
        for submission in self.submissions:
            counts[submission.means] += len(submission.asked)
        return counts

    def labelled(self) -> dict[str, Submission]:
        return {submission.label: submission for submission in self.submissions}

    def of(self, act: str) -> Iterable[Request]:
        return (request for request in self.requests if request.act == act)
