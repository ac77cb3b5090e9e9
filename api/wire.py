"""JSON on the wire: how the body of a request is read and an answer is written."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from api import strict_json

JSON = "application/json"
FORMAT = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def read() -> Any:
    """Return the JSON that this request carries.

    Raises `RefusedJSON`, or Werkzeug's `UnsupportedMediaType` and `RequestEntityTooLarge`.
    """
    if request.environ.get("CONTENT_TYPE") != JSON:
        refuse_other_types()
    return strict_json.parse(request.get_data())


def fingerprint() -> bytes:
    """What this request asks for, however its JSON is spelled."""
    asked = orjson.dumps(strict_json.parse(request.get_data()), option=orjson.OPT_SORT_KEYS)
    return request.path.encode() + b"\n" + asked


def refuse_other_types() -> None:
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != JSON or charset not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(
            "The body must be JSON in UTF-8: Content-Type: application/json."
        )


def answer(value: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """An answer that carries this value as JSON."""
    response = Response(dump(value), status, content_type=JSON)
    response.headers.extend(headers)
    return response


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
