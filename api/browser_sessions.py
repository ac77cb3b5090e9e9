"""A browser that has shown its key once: a signed cookie stands for the key, on pages alone.

The cookie holds the hash of the token, so it ends with the token: revoke the key, and the browser
is out within seconds. It is good for looking only (`GET` of the dashboard and the documentation);
every write needs the key itself in a header, which no other site can make a browser send.
"""

from dataclasses import dataclass

from flask import Response, request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from api.keyring import Keyring
from tasks.keys import Grant, hashed

LIFETIME = 12 * 3600  # seconds


@dataclass(frozen=True)
class BrowserSessions:
    """Signs and reads the cookies; without a secret key nobody can sign in."""

    secret_key: str

    @property
    def possible(self) -> bool:
        return bool(self.secret_key)

    def begin(self, response: Response, token: str) -> None:
        """Let the browser that gets this response in with this token from now on."""
        response.set_cookie(
            cookie_name(),
            self._signer().dumps(hashed(token).hex()),
            max_age=LIFETIME,
            secure=is_secure(),
            httponly=True,
            samesite="Lax",  # a link from elsewhere may open a page; nothing is changed by one
            path="/",
        )

    def end(self, response: Response) -> None:
        response.delete_cookie(
            cookie_name(), secure=is_secure(), httponly=True, samesite="Lax", path="/"
        )

    def who(self, keyring: Keyring) -> Grant | None:
        """What the signed-in browser that asks may see, or None."""
        cookie = request.cookies.get(cookie_name())
        if not cookie or not self.possible:
            return None
        try:
            hash = bytes.fromhex(self._signer().loads(cookie, max_age=LIFETIME))
        except (BadSignature, ValueError, TypeError):
            return None
        return keyring.find_hash(hash)

    def _signer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.secret_key, salt="browser session")


def is_secure() -> bool:
    """Cookies travel by HTTPS alone, except to this very machine, where browsers have none."""
    return request.host.partition(":")[0] not in ("localhost", "127.0.0.1", "[")


def cookie_name() -> str:
    """With the `__Host-` prefix a browser holds us to: secure, whole site, this host alone."""
    return "__Host-dtq" if is_secure() else "dtq"
