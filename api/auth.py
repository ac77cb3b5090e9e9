"""Who is asking, and may they? Every view declares the scope it needs; one guard asks for all.

A view without a declaration is closed. With AUTH=off, for development, everything is open to this
machine alone: the guard then refuses other addresses, other host names (DNS rebinding) and other
sites' pages (cross-site requests), so that a browser cannot be made to reach in.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from inspect import cleandoc
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, abort, g, redirect, request

from api import errors
from api.browser_sessions import BrowserSessions
from api.keyring import Keyring
from tasks.actions import Client
from tasks.errors import DatabaseUnavailable, NotAuthenticated, NotPermitted, TaskNotFound
from tasks.keys import EVERYTHING, MEANINGS, Grant, Scope

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])

SCHEME = "ApiKey"  # its name in the OpenAPI document
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a view."""

    scopes: tuple[Scope, ...] = ()  # any of them is enough; none: any valid key
    open: bool = False  # no key is asked for
    by_browser: bool = False  # a signed-in browser may look at it, too


OPEN = Access(open=True)


def requires(*scopes: Scope) -> Callable[[View], View]:
    """The view needs a key with any of these scopes, or just any key; the document says so."""

    def decorate(view: View) -> View:
        declare(view, Access(scopes=scopes))
        documented = getattr(view, "_apidoc", {})
        manual = documented.get("manual_doc", {}) | {
            "security": [{SCHEME: [str(scope)]} for scope in scopes] or [{SCHEME: []}],
            "description": f"{details_of(view)}\n\n{needs(scopes)}".strip(),
        }
        view._apidoc = documented | {"manual_doc": manual}  # type: ignore[attr-defined]  # smorest's
        refusals = (NotAuthenticated, NotPermitted, DatabaseUnavailable)
        view.refusals = (*refusals, *getattr(view, "refusals", ()))  # type: ignore[attr-defined]  # ours
        return view

    return decorate


def details_of(view: Callable[..., Any]) -> str:
    """What the docstring says after its first line, which is the summary."""
    return cleandoc(view.__doc__ or "").partition("\n")[2].strip()


def needs(scopes: tuple[Scope, ...]) -> str:
    """The sentence about scopes in the OpenAPI document."""
    if not scopes:
        return "Needs an API key, whatever its scopes."
    return "Needs the scope " + " or ".join(f"`{each}` ({MEANINGS[each]})" for each in scopes) + "."


def open_to_all(view: View) -> View:
    """The view needs no key: it tells nothing that a stranger may not know."""
    return declare(view, OPEN)


def shown_to_browsers(*scopes: Scope) -> Callable[[View], View]:
    """The page needs a key, or a browser that has signed in with one."""
    return lambda view: declare(view, Access(scopes=scopes, by_browser=True))


def declare(view: View, access: Access) -> View:
    view.access = access  # type: ignore[attr-defined]  # read by the guard
    return view


def access_of(app: Flask, endpoint: str) -> Access | None:
    """What the view behind an endpoint declares."""
    found: Access | None = getattr(app.view_functions[endpoint], "access", None)
    return found


@dataclass(frozen=True)
class Gate:
    """Lets requests in, or says why not. Without a keyring everything is open to this machine."""

    keyring: Keyring | None
    browsers: BrowserSessions

    def guard(self, app: Flask, everywhere: Access | None = None) -> None:
        """Ask at this gate before any view of the application, under one declaration if given."""
        app.before_request(lambda: self.admit(app, everywhere))
        for word in (NotAuthenticated, NotPermitted, DatabaseUnavailable):
            app.register_error_handler(word, errors.refuse)

    def admit(self, app: Flask, everywhere: Access | None) -> None:
        if request.endpoint is None:  # there is no such path or method, and Flask will say so
            return
        access = everywhere or access_of(app, request.endpoint)
        if self.keyring is None:
            refuse_others_than_this_machine()
            g.grant = EVERYTHING
        elif access is None:
            raise NotPermitted(f"{request.endpoint} declares no scope, so it is closed.")
        elif not access.open:
            g.grant = self.authenticate(self.keyring, access)
            if access.scopes and not any(map(g.grant.allows, access.scopes)):
                raise NotPermitted(f"This API key needs the scope {' or '.join(access.scopes)}.")

    def authenticate(self, keyring: Keyring, access: Access) -> Grant:
        header = request.environ.get("HTTP_AUTHORIZATION")
        if header is not None:
            scheme, _, token = header.partition(" ")
            found = keyring.find(token.strip()) if scheme.lower() == "bearer" else None
        elif access.by_browser and request.method in SAFE_METHODS:
            found = self.browsers.who(keyring)
        else:
            found = None
        if found is None:
            if access.by_browser and header is None and request.accept_mimetypes.accept_html:
                abort(redirect(f"/sign-in?next={request.script_root}{request.path}", code=303))
            log.info("refused a request without a valid key from %s", request.remote_addr)
            raise NotAuthenticated()
        return found


def refuse_others_than_this_machine() -> None:
    """Raise `NotPermitted` unless a program of this machine asks, or a page that we served."""
    if not is_loopback(request.environ.get("REMOTE_ADDR", "")) or not is_local(request.host):
        raise NotPermitted("AUTH is off, so only this machine may ask, by a loopback address.")
    if request.method not in SAFE_METHODS and comes_from_another_site():
        raise NotPermitted("AUTH is off, so pages of other sites may not ask.")


@lru_cache(64)
def is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


@lru_cache(64)
def is_local(host: str) -> bool:
    """Whether a Host header names this machine to itself."""
    try:
        return urlsplit(f"//{host}").hostname in LOCAL_NAMES
    except ValueError:
        return False


def comes_from_another_site() -> bool:
    """Whether a browser says that a page of somebody else makes this request."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    return site not in (None, "none", "same-origin") or (
        origin is not None and origin != f"{request.scheme}://{request.host}"
    )


def grant() -> Grant:
    """What whoever asks may do."""
    found: Grant = g.grant
    return found


def client() -> Client:
    """Who asks, for the record."""
    return Client(grant().key_id, request.remote_addr)


def refuse_other_queues(*queue_names: str) -> None:
    """Raise `NotPermitted` if the key is bound to other queue names than these."""
    bound = grant().queue_names
    for queue_name in queue_names:
        if bound and queue_name not in bound:
            raise NotPermitted(
                f"This API key is bound to the queue names {', '.join(sorted(bound))}."
            )


def hide_other_queues(queue_name: str) -> None:
    """Raise `TaskNotFound` if the key may not know of tasks in this queue."""
    if not grant().covers(queue_name):
        raise TaskNotFound()
