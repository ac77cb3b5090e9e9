"""What a client reads when something is wrong: one table from our words to HTTP.

Views do not catch. Whatever they raise is looked up here and answered in flask-smorest's shape,
`{"code", "status", "message", "errors"}`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.http import HTTP_STATUS_CODES

from api import wire
from api.queries import InvalidHeader, InvalidQuery
from api.strict_json import RefusedJSON
from tasks.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    IdempotencyKeyReused,
    InvalidBatch,
    InvalidCursor,
    InvalidKey,
    InvalidSchedule,
    InvalidTask,
    KeyEnded,
    KeyNotFound,
    MoveRefused,
    NotAuthenticated,
    NotPermitted,
    ScheduleNameTaken,
    ScheduleNotFound,
    TaskGone,
    TaskNotFound,
    TooManyTasks,
    UnknownKind,
    Unstorable,
)

log = logging.getLogger(__name__)

RETRY_AFTER = 1  # seconds a client should wait before it asks an unavailable service again


@dataclass(frozen=True)
class Refusal:
    """How one word is said in HTTP."""

    status: int
    errors: Callable[[Any], dict[str, Any]] | None = None  # which fields are wrong, and why
    example: dict[str, Any] | None = None  # of those, for the documentation
    says: str | None = None  # an example of its message, where the word's docstring is not one
    retry_after: int | None = None  # seconds, where the error itself does not say
    headers: tuple[tuple[str, str], ...] = ()


# fmt: off
REFUSALS: dict[type[Exception], Refusal] = {
    RefusedJSON: Refusal(
        400, lambda error: {"json": [str(error)]},
        {"json": ["an object names the key 'name' twice (line 1, column 25)"]},
    ),
    NotAuthenticated: Refusal(401, headers=(("WWW-Authenticate", 'Bearer realm="task queue"'),)),
    NotPermitted: Refusal(403, says="This API key needs the scope tasks:manage."),
    TaskNotFound: Refusal(404),
    TaskGone: Refusal(410),
    ScheduleNotFound: Refusal(404),
    ScheduleNameTaken: Refusal(409),
    InvalidSchedule: Refusal(
        422, lambda error: {"json": error.messages},
        {"json": {"cron": ["It would never fire: no month named in '0 0 31 2 *' has such a day."]}},
    ),
    KeyNotFound: Refusal(404),
    KeyEnded: Refusal(409),
    InvalidKey: Refusal(
        422, lambda error: {"json": error.messages},
        {"json": {"scopes": ["At least one scope is needed."]}},
    ),
    TooManyTasks: Refusal(
        429, says="This API key may submit 100 tasks per second.", retry_after=RETRY_AFTER
    ),
    MoveRefused: Refusal(
        409, says="Cannot rerun a task that is running; it must be cancelled or failed."
    ),
    UnknownKind: Refusal(
        422, lambda error: {"json": {"name": [str(error)]}},
        {"json": {"name": ["Unknown kind of task 'sing'. Known kinds: email.send, example_task."]}},
    ),
    InvalidTask: Refusal(
        422, lambda error: {"json": error.messages},
        {"json": {"payload": {"url": ["Not a valid URL."]}}},
    ),
    InvalidBatch: Refusal(
        422, lambda error: {"json": {"tasks": error.messages}},
        {"json": {"tasks": {"17": {"payload": {"url": ["Not a valid URL."]}}}}},
    ),
    InvalidQuery: Refusal(
        422, lambda error: {"query": error.messages},
        {"query": {"limit": ["Must be greater than or equal to 1 and less than or equal to 200."]}},
    ),
    InvalidHeader: Refusal(
        422, lambda error: {"headers": {error.name: [error.message]}},
        {"headers": {"Idempotency-Key": ["Must be 1 to 255 visible ASCII characters."]}},
    ),
    InvalidCursor: Refusal(
        422, lambda error: {"query": {"cursor": [str(error)]}},
        {"query": {"cursor": ["The cursor is not one that this list gave out."]}},
    ),
    IdempotencyKeyReused: Refusal(
        422, lambda error: {"headers": {"Idempotency-Key": [str(error)]}},
        {"headers": {"Idempotency-Key": [IdempotencyKeyReused.__doc__]}},
    ),
    Unstorable: Refusal(422),
    DatabaseUnavailable: Refusal(503, retry_after=RETRY_AFTER),
    BrokerUnavailable: Refusal(503, retry_after=RETRY_AFTER),
}
# fmt: on


def body(status: int, message: str, errors: dict[str, Any] | None = None) -> dict[str, Any]:
    """An error as a client reads it."""
    said = {"code": status, "status": HTTP_STATUS_CODES[status], "message": message}
    return said if errors is None else said | {"errors": errors}


def register(app: Flask) -> None:
    """Answer every exception of this application as the table says."""
    for word in REFUSALS:
        app.register_error_handler(word, refuse)
    app.register_error_handler(HTTPException, refuse_in_http)


def refuse(error: Exception) -> Response:
    """Answer one of our words."""
    refusal = next(REFUSALS[word] for word in type(error).__mro__ if word in REFUSALS)
    if refusal.status >= 500:
        log.warning("unavailable: %s", error.__cause__ or error)
    retry_after = getattr(error, "retry_after", refusal.retry_after)
    headers = [*refusal.headers]
    if retry_after is not None:
        headers.append(("Retry-After", str(ceil(retry_after))))
    errors = refusal.errors(error) if refusal.errors else None
    return wire.Answer(body(refusal.status, message_of(error), errors), refusal.status, headers)


def message_of(error: Exception) -> str:
    """The sentence a client reads: the error's own, or its word's."""
    return str(error) or sentence(type(error))


def status(word: type[Exception]) -> int:
    """The HTTP status of one of our words, or of Werkzeug's."""
    return word.code or 500 if issubclass(word, HTTPException) else REFUSALS[word].status


def sentence(word: type[Exception]) -> str:
    """What a word says of itself, in one sentence."""
    if issubclass(word, HTTPException):
        return word.description or HTTP_STATUS_CODES[status(word)]
    return (word.__doc__ or word.__name__).strip().partition("\n")[0]


def example(word: type[Exception]) -> dict[str, Any]:
    """An error of this word as a client reads it, for the documentation."""
    refusal = REFUSALS.get(word)
    if refusal is None:
        return body(status(word), sentence(word))
    return body(refusal.status, refusal.says or sentence(word), refusal.example)


def refuse_in_http(error: HTTPException) -> Response:
    """Answer what Flask, Werkzeug or an extension refuses, and what nobody foresaw."""
    status = error.code or 500
    message = error.description or HTTP_STATUS_CODES[status]
    if isinstance(error, InternalServerError):
        message = "This should not have happened; the log tells more under this request's id."
    headers = [
        (name, value) for name, value in error.get_headers() if name.lower() != "content-type"
    ]
    data: dict[str, Any] = getattr(error, "data", None) or {}  # webargs' abort() tells more here
    said = body(status, data.get("message", message), data.get("errors", data.get("messages")))
    return wire.Answer(said, status, headers)
