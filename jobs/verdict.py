"""What an attempt's end means for its task: done, again later, or never again."""

import traceback
from typing import Any

from jobs.assignment import Assignment, Report
from tasks.catalog import Kind
from tasks.errors import Cancelled, GiveUp, ResultTooLarge, RetryLater, Snooze, TimedOut
from tasks.lifecycle import Move, Outcome
from tasks.retry import Backoff
from tasks.scrubbing import scrub

LONGEST_MESSAGE = 4_000  # characters kept of an error's message
LONGEST_TRACEBACK = 16_000


class InvalidResult(Exception):
    """The handler returned something that is not JSON."""


INCURABLE = (GiveUp, ResultTooLarge, InvalidResult)  # another attempt would end the same way


def succeeded(assignment: Assignment, result: bytes, seconds: float) -> Report:
    """The handler returned this JSON."""
    return Report(
        assignment.task_id,
        assignment.attempt,
        Move.SUCCEED,
        Outcome.SUCCEEDED,
        seconds,
        result=None if result == b"null" else result,
    )


def raised(
    assignment: Assignment, kind: Kind | None, error: BaseException, seconds: float
) -> Report:
    """The handler raised this."""

    def report(move: Move, outcome: Outcome, wait: float | None = None) -> Report:
        return Report(
            assignment.task_id,
            assignment.attempt,
            move,
            outcome,
            seconds,
            error=None if outcome is Outcome.RELEASED else describe(error),
            wait=wait,
        )

    if isinstance(error, Snooze):
        return report(Move.SNOOZE, Outcome.RELEASED, max(0.0, error.delay.total_seconds()))
    if isinstance(error, Cancelled):
        return report(Move.CANCEL, Outcome.CANCELLED)
    outcome = Outcome.TIMED_OUT if isinstance(error, TimedOut) else Outcome.FAILED
    retry = kind.retry if kind else Backoff()
    if not may_try_again(assignment, retry, error):
        return report(Move.FAIL, outcome)
    if isinstance(error, RetryLater):
        return report(Move.RETRY, outcome, max(0.0, error.delay.total_seconds()))
    return report(Move.RETRY, outcome, retry.wait(assignment.failures + 1).total_seconds())


def may_try_again(assignment: Assignment, retry: Backoff, error: BaseException) -> bool:
    if isinstance(error, INCURABLE) or assignment.failures >= assignment.max_retries:
        return False
    if isinstance(error, (RetryLater, TimedOut)):
        return not isinstance(error, retry.give_up_on)
    return retry.tries_again_after(error) or not isinstance(error, Exception)


def describe(error: BaseException) -> dict[str, Any]:
    """An error as it is recorded: its type, message and traceback, of bounded length."""
    frames = traceback.format_exception(type(error), error, error.__traceback__)
    return {
        "type": type(error).__name__,
        "message": printable(scrub(str(error)))[:LONGEST_MESSAGE],
        "traceback": printable(scrub("".join(frames)))[-LONGEST_TRACEBACK:],
    }


def printable(text: str) -> str:
    """Text that PostgreSQL's JSON can hold: without NUL and lone surrogates."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
