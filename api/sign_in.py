"""Signing a browser in with an API key, for the dashboard and the documentation.

The page's script sends the key in the `Authorization` header, and gets a cookie (see
`api.browser_sessions`). No form is posted: a page of another site can make a browser post a form,
but it cannot make it send this header. Nor is a body ever read from somebody without a key.
"""

import re

from flask import Flask, Response, render_template, request

from api.auth import Gate, comes_from_another_site, open_to_all, requires
from tasks.errors import NotPermitted

PAGES = re.compile(r"/(rq|docs|openapi\.json)(/[A-Za-z0-9_:-][A-Za-z0-9_.:-]*)*/?")
IMPOSSIBLE = "Nobody can sign in here: SECRET_KEY is not set. Programs may send their key."


def register(app: Flask, gate: Gate) -> None:
    """Serve the page and take keys there."""

    @open_to_all
    def show() -> Response:
        page = render_template(
            "sign_in.html", next=wanted_page(), problem="" if gate.browsers.possible else IMPOSSIBLE
        )
        return Response(page, 200 if gate.browsers.possible else 503, mimetype="text/html")

    @requires()
    def begin() -> Response:
        refuse_other_sites()
        if not gate.browsers.possible:
            raise NotPermitted(IMPOSSIBLE)
        response = Response(status=204)
        token = request.headers["Authorization"].partition(" ")[2].strip()
        gate.browsers.begin(response, token)
        return response

    @open_to_all
    def end() -> Response:
        refuse_other_sites()
        response = Response(status=204)
        gate.browsers.end(response)
        return response

    app.add_url_rule("/sign-in", "sign_in", show, methods=["GET"])
    app.add_url_rule("/sign-in", "begin_session", begin, methods=["POST"])
    app.add_url_rule("/sign-out", "end_session", end, methods=["POST"])


def wanted_page() -> str:
    """Where to go once signed in: a page of ours, whatever a link says."""
    wanted = request.args.get("next", "")
    return wanted if PAGES.fullmatch(wanted) else "/docs"


def refuse_other_sites() -> None:
    if comes_from_another_site():
        raise NotPermitted("Pages of other sites may not do this.")
