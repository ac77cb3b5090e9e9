"""Everything that can go wrong, in words. A docstring is the sentence a client reads."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from tasks.lifecycle import Move, Status


class TaskQueueError(Exception):
    """Something went wrong."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else (self.__doc__ or "").strip()


class TaskNotFound(TaskQueueError):
    """There is no task with this id."""


class MoveRefused(TaskQueueError):
    """The task is not in a status where this move starts."""

    def __init__(self, move: Move, task_id: UUID, found: Status, attempt: int) -> None:
        sources = " or ".join(sorted(move.sources))
        super().__init__(f"Cannot {verb(move)} a task that is {found}; it must be {sources}.")
        self.move, self.task_id, self.found, self.attempt = move, task_id, found, attempt


def verb(move: Move) -> str:
    return move.name.lower().replace("_", " ")


class UnknownKind(TaskQueueError):
    """There is no kind of task with this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"Unknown kind of task {name!r}. Known kinds: {', '.join(known)}.")
        self.name, self.known = name, known


class InvalidTask(TaskQueueError):
    """The task is not valid."""

    def __init__(self, messages: dict[str, Any]) -> None:
        super().__init__("The task is not valid.")
        self.messages = messages  # field → list of messages, or a nested dict of the same


class InvalidBatch(TaskQueueError):
    """Some tasks of the batch are not valid; none was stored."""

    def __init__(self, messages: dict[int, dict[str, Any]]) -> None:
        super().__init__("Some tasks of the batch are not valid; none was stored.")
        self.messages = messages  # index in the batch → messages of that task


class InvalidCursor(TaskQueueError):
    """The cursor is not one that this list gave out."""


class IdempotencyKeyReused(TaskQueueError):
    """This Idempotency-Key was used before with another request body."""


class TaskGone(TaskQueueError):
    """The task of this Idempotency-Key has ended and was deleted since; nothing new was stored."""


class ScheduleNotFound(TaskQueueError):
    """There is no schedule with this id."""


class ScheduleNameTaken(TaskQueueError):
    """There is another schedule with this name."""


class InvalidSchedule(TaskQueueError):
    """The schedule is not valid."""

    def __init__(self, messages: dict[str, Any]) -> None:
        super().__init__("The schedule is not valid.")
        self.messages = messages  # field → list of messages, or a nested dict of the same


class KeyNotFound(TaskQueueError):
    """There is no API key with this id."""


class KeyEnded(TaskQueueError):
    """This API key was revoked or has expired; create a new one."""


class InvalidKey(TaskQueueError):
    """The API key is not valid."""

    def __init__(self, messages: dict[str, list[str]]) -> None:
        super().__init__("The API key is not valid.")
        self.messages = messages  # field → what is wrong with it


class NoKeys(TaskQueueError):
    """AUTH is on and no API key is valid; make one with `python -m api keys create NAME admin`."""


class NotAuthenticated(TaskQueueError):
    """A valid API key is needed: Authorization: Bearer dtq_…"""


class NotPermitted(TaskQueueError):
    """This API key may not do this."""


class TooManyTasks(TaskQueueError):
    """More tasks than are allowed now; try again later."""

    def __init__(self, reason: str, retry_after: float, allowance: object = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after  # seconds
        self.allowance = allowance  # what is left of the client's rate, if that was the reason


class UnreadableSecret(TaskQueueError):
    """A secret field cannot be read; PAYLOAD_KEYS lacks its key, or somebody changed it."""


class ResultTooLarge(TaskQueueError):
    """The handler's result is larger than MAX_RESULT_BYTES."""


class DatabaseUnavailable(TaskQueueError):
    """The database does not answer; nothing was stored. Try again."""


class Unstorable(TaskQueueError):
    """PostgreSQL cannot store one of these values."""


class BrokerUnavailable(TaskQueueError):
    """Redis does not answer."""


class UnfitServer(TaskQueueError):
    """A server is configured in a way that would break the guarantee."""


class Interruption(BaseException):
    """A handler was stopped from outside. Not an Exception, so that handlers do not swallow it."""

    def __str__(self) -> str:
        return (self.__doc__ or "").strip()


class Cancelled(Interruption):
    """The task was cancelled while it ran."""


class TimedOut(Interruption):
    """The attempt ran longer than the task's timeout."""


class GiveUp(Exception):
    """Raised by a handler: fail at once, whatever retries are left."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RetryLater(Exception):
    """Raised by a handler: this attempt failed; try again after this delay (counted)."""

    def __init__(self, delay: float | timedelta, reason: str = "") -> None:
        self.delay = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
        super().__init__(reason or f"The handler asked for another attempt in {self.delay}.")


class Snooze(Exception):
    """Raised by a handler: not now; come back after this delay (not counted as an attempt)."""

    def __init__(self, delay: float | timedelta) -> None:
        self.delay = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
        super().__init__(f"The handler asked to be called again in {self.delay}.")
