"""What a client says outside the body: the query string and the headers, read strictly."""

import re
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError

KEY = re.compile(r"[!-~]{1,255}")  # visible ASCII


class InvalidQuery(Exception):
    """The query string is not valid."""

    def __init__(self, messages: dict[str, Any]) -> None:
        super().__init__("The query string is not valid.")
        self.messages = messages  # parameter → list of messages


class InvalidHeader(Exception):
    """A header is not valid."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__("A header is not valid.")
        self.name, self.message = name, message


def read(schema: Schema) -> dict[str, Any]:
    """The query parameters that this schema describes, or `InvalidQuery`."""
    given = request.args.to_dict(flat=False) if request.query_string else {}
    repeated = {name: ["Given more than once."] for name, values in given.items() if values[1:]}
    try:
        found: dict[str, Any] = schema.load({name: values[0] for name, values in given.items()})
    except ValidationError as error:
        raise InvalidQuery(repeated | error.normalized_messages()) from None
    if repeated:
        raise InvalidQuery(repeated)
    return found


def idempotency_key() -> str | None:
    """The request's `Idempotency-Key`, None without one, or `InvalidHeader`."""
    key: str | None = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not KEY.fullmatch(key):
        raise InvalidHeader("Idempotency-Key", "Must be 1 to 255 visible ASCII characters.")
    return key
