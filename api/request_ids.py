"""One id from the request through the logs to the handler: taken from X-Request-ID, or made."""

import re
from secrets import token_hex

from flask import Flask, Response, g, request

HEADER = "X-Request-ID"
ACCEPTABLE = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}")


def register(app: Flask) -> None:
    app.before_request(begin)
    app.after_request(tell)


def begin() -> None:
    given = request.environ.get("HTTP_X_REQUEST_ID")
    g.request_id = given if given and ACCEPTABLE.fullmatch(given) else token_hex(16)


def tell(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    return response


def current() -> str:
    """The id of the request being answered."""
    request_id: str = g.request_id
    return request_id
