"""What passes between a worker and its horses: assignments down, reports up."""

from dataclasses import dataclass
from typing import Any

import orjson

from tasks.lifecycle import Move, Outcome
from tasks.store import Started

MOVES, OUTCOMES = Move.__members__, {str(outcome): outcome for outcome in Outcome}


@dataclass(slots=True)
class Assignment:
    """One attempt to run, with what its verdict depends on."""

    task_id: str
    name: str
    payload: bytes  # JSON
    attempt: int
    timeout: float  # seconds
    max_retries: int
    failures: int
    worker_id: str
    request_id: str | None

    @classmethod
    def of(cls, started: Started, worker_id: str) -> "Assignment":
        return cls(
            task_id=started.id,
            name=started.name,
            payload=started.payload.encode(),
            attempt=started.attempt,
            timeout=started.timeout,
            max_retries=started.max_retries,
            failures=started.failures,
            worker_id=worker_id,
            request_id=started.request_id,
        )

    def encode(self) -> bytes:
        """One line of JSON, then the payload as it is."""
        head = orjson.dumps(
            [
                self.task_id,
                self.name,
                self.attempt,
                self.timeout,
                self.max_retries,
                self.failures,
                self.worker_id,
                self.request_id,
            ]
        )
        return head + b"\n" + self.payload

    @classmethod
    def decode(cls, message: bytes) -> "Assignment":
        head, _, payload = message.partition(b"\n")
        task_id, name, attempt, timeout, max_retries, failures, worker_id, request_id = (
            orjson.loads(head)
        )
        return cls(
            task_id,
            name,
            payload,
            attempt,
            timeout,
            max_retries,
            failures,
            worker_id,
            request_id,
        )


@dataclass(slots=True)
class Report:
    """How an attempt ended, as the horse that ran it says."""

    task_id: str
    attempt: int
    move: Move
    outcome: Outcome
    seconds: float  # that the handler ran
    error: dict[str, Any] | None = None
    wait: float | None = None  # seconds until the next attempt
    result: bytes | None = None  # JSON
    settled: bool = False  # the horse committed it itself, with the handler's own writes

    def encode(self) -> bytes:
        """One line of JSON, then the result as it is."""
        head = orjson.dumps(
            [
                self.task_id,
                self.attempt,
                self.move.name,
                self.outcome,
                self.seconds,
                self.error,
                self.wait,
                self.settled,
                self.result is not None,
            ]
        )
        return head + b"\n" + (self.result or b"")

    @classmethod
    def decode(cls, head: list[Any], body: bytes) -> "Report":
        task_id, attempt, move, outcome, seconds, error, wait, settled, has_result = head
        return cls(
            task_id,
            attempt,
            MOVES[move],
            OUTCOMES[outcome],
            seconds,
            error,
            wait,
            body if has_result else None,
            settled,
        )


@dataclass(slots=True)
class Progress:
    """What a handler last said of its progress."""

    task_id: str
    attempt: int
    said: str  # JSON text of {"done", "total", "message"}

    def encode(self) -> bytes:
        return orjson.dumps([self.task_id, self.attempt, self.said])


def read(message: bytes) -> Report | Progress:
    """What a horse said."""
    head, _, body = message.partition(b"\n")
    words = orjson.loads(head)
    return Progress(*words) if len(words) == 3 else Report.decode(words, body)
