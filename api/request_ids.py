"""One id from the request through the logs to the handler: taken from X-Request-ID, or made."""

import re
from secrets import token_hex

from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars, unbind_contextvars

HEADER = "X-Request-ID"
ACCEPTABLE = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}")


def register(app: Flask) -> None:
    app.before_request(begin)
    app.after_request(tell)
    app.teardown_request(end)


def begin() -> None:
    given = request.environ.get("HTTP_X_REQUEST_ID")
    g.request_id = id = given if given and ACCEPTABLE.fullmatch(given) else token_hex(16)
    bind_contextvars(request_id=id)


def tell(response: Response) -> Response:
    response.headers.add(HEADER, g.request_id)
    return response


def end(error: BaseException | None) -> None:
    unbind_contextvars("request_id")


def current() -> str:
    """The id of the request being answered."""
    request_id: str = g.request_id
    return request_id
