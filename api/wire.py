"""JSON on the wire: how the body of a request is read and an answer is written."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response, current_app, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import (
    ClientDisconnected,
    RequestEntityTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)

from api import slow_bodies, strict_json

JSON = "application/json"
COMMON = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
)
FORMAT = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


class Answer(Response):
    """An answer in JSON. What all answers have in common is written once, as they leave."""

    def __init__(
        self, value: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.headers = Headers([("Content-Type", JSON), *headers])
        self.status_code = status
        self.response = [dump(value)]
        self.direct_passthrough = False
        self._on_close = []

    def get_wsgi_response(self, environ: Any) -> Any:
        (body,) = self.response
        headers = [*self.headers, *COMMON, ("Content-Length", str(len(body)))]
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body], self.status, headers


def read() -> Any:
    """Return the JSON that this request carries.

    Raises `RefusedJSON`, or Werkzeug's `UnsupportedMediaType` and `RequestEntityTooLarge`.
    """
    environ = request.environ
    if environ.get("CONTENT_TYPE") != JSON or "HTTP_CONTENT_ENCODING" in environ:
        refuse_other_types()
    return strict_json.parse(read_bytes())


def read_bytes() -> bytes:
    """The body, for once: a second call finds nothing."""
    environ, most = request.environ, current_app.config["MAX_CONTENT_LENGTH"]
    length = environ.get("CONTENT_LENGTH")
    if length:
        announced = int(length) if len(length) < 16 and length.isdecimal() else most + 1
    elif environ.get("wsgi.input_terminated"):
        announced = None  # sent in chunks: it ends where it ends
    else:
        announced = 0
    if announced is not None and announced > most:
        raise RequestEntityTooLarge()
    body = slow_bodies.read(environ, most + 1 if announced is None else announced)
    if len(body) > most:
        raise RequestEntityTooLarge()
    if announced is not None and len(body) < announced:
        raise RequestTimeout() if slow_bodies.is_slow() else ClientDisconnected()
    return body


def refuse_other_types() -> None:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaType("The body must not be compressed: no Content-Encoding.")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != JSON or charset not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(
            "The body must be JSON in UTF-8: Content-Type: application/json."
        )


def dump(value: Any) -> bytes:
    """This value as JSON."""
    try:
        return orjson.dumps(value, option=FORMAT)
    except TypeError:  # an integer of more than 64 bits, which only a handler's result can hold
        return json.dumps(value, default=plain, allow_nan=False, ensure_ascii=False).encode()


def plain(value: Any) -> Any:
    """What orjson writes by itself and `json` does not."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
