"""Tasks that call an HTTP endpoint: handlers in any language."""

import json as json_text
import re
from base64 import b64decode, b64encode
from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range

from jobs.handlers import checks
from jobs.outgoing.addresses import Rules
from jobs.outgoing.client import Answer, Client, Request
from jobs.outgoing.errors import Refused
from jobs.outgoing.retry_after import retry_after
from jobs.outgoing.target import LONGEST_URL, parse
from tasks import clock
from tasks.catalog import handles
from tasks.errors import GiveUp, RetryLater
from tasks.retry import Backoff

if TYPE_CHECKING:
    from jobs.context import Context

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LONGEST_TIMEOUT = 300.0  # seconds
LARGEST_BODY = 262_144  # bytes kept of an answer
LATER = {408, 425, 429, *range(500, 600)}  # statuses that another attempt may cure
NEVER_KEPT = {"set-cookie", "set-cookie2"}  # a session of ours is nobody's business
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
NOTHING = object()

PERSISTENT = Backoff(max_retries=10, first_wait=timedelta(seconds=1))  # 17 minutes of trouble

_client = Client()


def configure(rules: Rules) -> None:
    """Say what requests of this process may reach; without it, public addresses only."""
    global _client
    _client = Client(rules)


class Unavailable(Exception):
    """The server answered that it cannot do this now."""


def header_field(name: Callable[[str], None], description: str, **metadata: Any) -> fields.Dict:
    return fields.Dict(
        keys=fields.String(validate=[Length(max=100), name]),
        values=fields.String(validate=[Length(max=8000), checks.a_header_value]),
        load_default=dict,
        validate=[checks.not_too_many, checks.named_once],
        metadata={"description": description, "maxProperties": checks.MOST_HEADERS, **metadata},
    )


class HttpRequest(Schema):
    method = fields.String(
        load_default="GET",
        validate=OneOf(METHODS),
        metadata={"description": "The request's method.", "example": "POST"},
    )
    url = fields.String(
        required=True,
        validate=[Length(max=LONGEST_URL), checks.a_url],
        metadata={
            "description": "An absolute `http://` or `https://` URL without credentials. Ports are "
            "80, 443 and those from 1024. Its host must be public, unless the operator allows more "
            "by `HTTP_ALLOW_NETWORKS`; a redirect must lead to such a host as well.",
            "format": "uri",
            "example": "https://shop.example/hooks/order-paid",
        },
    )
    headers = header_field(
        checks.an_open_header,
        "Further headers. Those that frame the message, such as `Host`, `Content-Length` and "
        "`Connection`, are set by the service; those that look like credentials belong to "
        "`secret_headers`.",
        example={"Accept": "application/json"},
    )
    secret_headers = header_field(
        checks.a_header_of_the_caller,
        "Headers whose values are kept encrypted and never shown, such as `Authorization`.",
        example={"Authorization": "Bearer 3f8a"},
        secret=True,
    )
    json = fields.Raw(
        allow_none=True,
        metadata={
            "description": "A body to send as JSON; any JSON value. At most one of `json`, `body` "
            "and `body_base64` may be given.",
            "example": {"order": 4711},
        },
    )
    body = fields.String(
        metadata={"description": "A body to send as UTF-8 text.", "example": "order=4711"}
    )
    body_base64 = fields.String(
        validate=checks.base64,
        metadata={
            "description": "A body of any bytes, as base64.",
            "format": "byte",
            "example": "AAEC",
        },
    )
    expected_statuses = fields.List(
        fields.Integer(strict=True, validate=Range(min=200, max=599)),
        validate=Length(min=1, max=100),
        metadata={
            "description": "The statuses that mean success, instead of all from 200 to 299.",
            "example": [200, 404],
        },
    )
    timeout = fields.Float(
        load_default=30.0,
        validate=Range(min=0.1, max=LONGEST_TIMEOUT),
        metadata={
            "description": "Seconds from the name's lookup to the last byte, redirects included.",
            "example": 10,
        },
    )
    max_redirects = fields.Integer(
        load_default=5,
        strict=True,
        validate=Range(min=0, max=10),
        metadata={"description": "How many redirects are followed.", "example": 0},
    )

    @validates_schema
    def one_body(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        given = [name for name in ("json", "body", "body_base64") if name in data]
        if len(given) > 1:
            raise ValidationError(f"Give only one of {' and '.join(given)}.", given[-1])

    @validates_schema
    def each_header_once(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        try:
            checks.named_once(data["headers"], data["secret_headers"])
        except ValidationError as error:
            raise ValidationError(error.messages, "secret_headers") from None


@handles(
    "http.request",
    HttpRequest,
    timeout=timedelta(seconds=LONGEST_TIMEOUT + 30),
    retry=PERSISTENT,
    io=True,
)
def request(
    context: "Context",
    method: str,
    url: str,
    headers: Mapping[str, str],
    secret_headers: Mapping[str, str],
    timeout: float,
    max_redirects: int,
    expected_statuses: list[int] | None = None,
    **bodies: Any,
) -> dict[str, Any]:
    """Send an HTTP request and keep the answer, so that a task can be handled in any language.

    **Success** is a status from 200 to 299, or one of `expected_statuses`. The result is
    `{"status", "headers", "body", "body_encoding", "truncated"}`: header names are in lower case
    and cookies are left out; `body` is text if it is UTF-8, else base64, as `body_encoding` says;
    of a long body the first 256 KiB are kept and `truncated` is true.

    **Tried again** are network errors, timeouts and the statuses 408, 425, 429 and 5xx, at the
    time the server asks for in `Retry-After` (at most an hour), else after a growing wait. Any
    other status and a URL that may not be called fail the task at once.

    **Sent along** are `X-Task-Id`, `X-Task-Attempt` and, unless given, an `Idempotency-Key` that is
    the same in every attempt of the task: by it a server can tell a repetition from a new request.
    """
    body, content_type = encoded(**bodies)
    given = {**headers, **secret_headers}
    sent = Request(method, parse(url), with_defaults(given, content_type, context), body)
    expected = expected_statuses or range(200, 300)
    try:
        answer = _client.send(
            sent,
            seconds=timeout,
            max_redirects=max_redirects,
            max_bytes=LARGEST_BODY,
            stop_at=expected,
        )
    except Refused as refusal:
        raise GiveUp(str(refusal)) from None
    if answer.status not in expected:
        raise verdict(answer, clock.now())
    return kept(answer)


def encoded(
    json: Any = NOTHING, body: str | None = None, body_base64: str | None = None
) -> tuple[bytes | None, str | None]:
    """The request's body and its content type."""
    if json is not NOTHING:
        return json_text.dumps(json, separators=(",", ":")).encode(), "application/json"
    if body is not None:
        return body.encode(), "text/plain; charset=utf-8"
    if body_base64 is not None:
        return b64decode(body_base64), "application/octet-stream"
    return None, None


def with_defaults(
    headers: Mapping[str, str], content_type: str | None, context: "Context"
) -> dict[str, str]:
    """The caller's headers, and ours where the caller gave none."""
    ours = {
        "User-Agent": "distributed-task-queue",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Idempotency-Key": context.idempotency_key,
        "X-Task-Id": str(context.task_id),
        "X-Task-Attempt": str(context.attempt),
    }
    if content_type:
        ours["Content-Type"] = content_type
    given = {name.lower() for name in headers}
    return {name: text for name, text in ours.items() if name.lower() not in given} | dict(headers)


def verdict(answer: Answer, now: datetime) -> Exception:
    """What to raise for a status that was not expected."""
    said = f"{answer.target.origin} answered {named(answer.status)}."
    if answer.status not in LATER:
        return GiveUp(said)
    delay = retry_after(answer.headers, now)
    return RetryLater(delay, said) if delay else Unavailable(said)


def named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def kept(answer: Answer) -> dict[str, Any]:
    """The task's result."""
    text = readable(answer.body, answer.truncated)
    return {
        "status": answer.status,
        "headers": {n: v for n, v in answer.headers.items() if n not in NEVER_KEPT},
        "body": b64encode(answer.body).decode() if text is None else text,
        "body_encoding": "base64" if text is None else "text",
        "truncated": answer.truncated,
    }


def readable(body: bytes, truncated: bool) -> str | None:
    """The body as text, without a last character that was cut; None if it is not text."""
    try:
        text = getincrementaldecoder("utf-8")().decode(body, final=not truncated)
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) else text  # a database takes no NUL
