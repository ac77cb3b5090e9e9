"""Headers that keep browsers from doing more with our pages and files than we mean."""

from flask import Flask, Response, request

from api import wire

POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

YEAR = 365 * 24 * 3600  # seconds


def register(app: Flask) -> None:
    app.after_request(protect)


def protect(response: Response) -> Response:
    if isinstance(response, wire.Answer):  # it brings its own
        return response
    lead_nowhere_else(response)
    if response.mimetype == "text/html":
        response.headers.setdefault("Content-Security-Policy", POLICY)
        if request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", f"max-age={YEAR}")
    for name, value in wire.COMMON:
        response.headers.setdefault(name, value)
    return response


def lead_nowhere_else(response: Response) -> None:
    """Redirect to a path alone: the name of the host is whatever the request said it was."""
    where = response.headers.get("Location", "")
    if where.startswith(request.host_url):
        response.headers["Location"] = "/" + where.removeprefix(request.host_url).lstrip("/")
