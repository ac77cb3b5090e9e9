"""Headers that keep browsers from doing more with our answers than we mean."""

from flask import Flask, Response

NOTHING = "default-src 'none'; frame-ancestors 'none'"
OUR_FILES = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
ALWAYS = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]


def register(app: Flask) -> None:
    app.after_request(protect)


def protect(response: Response) -> Response:
    headers = response.headers
    headers.extend(ALWAYS)
    if response.mimetype == "text/html":
        headers.setdefault("Content-Security-Policy", OUR_FILES)
    else:
        headers.setdefault("Content-Security-Policy", NOTHING)
    headers.setdefault("Cache-Control", "no-store")
    return response
