"""Send one request under the rules, and follow its redirects under the same rules."""

import logging
import ssl
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import httpcore2

from jobs.outgoing.addresses import Rules
from jobs.outgoing.connection import Deadline, Guard, Lookup, system_lookup
from jobs.outgoing.errors import NoAnswer, Refused
from jobs.outgoing.target import InvalidUrl, Target

REDIRECTS = {301, 302, 303, 307, 308}
BECOMES_GET = {301: {"POST"}, 302: {"POST"}, 303: {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"}}
DESCRIBE_BODY = {"content-type", "content-encoding", "content-language"}
HARMLESS = {
    *DESCRIBE_BODY,
    *("accept", "accept-encoding", "accept-language", "user-agent"),
    *("idempotency-key", "x-task-id", "x-task-attempt"),
}

logging.getLogger("httpcore2").setLevel(logging.INFO)  # below, it logs headers with their secrets


@dataclass(frozen=True)
class Request:
    """What is sent: `Host`, `Content-Length` and `Connection` are added on the way."""

    method: str
    target: Target
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    def redirected(self, status: int, location: str) -> "Request":
        """The request that a redirect asks for, or `Refused`.

        Another origin gets none of the caller's headers but harmless ones, as any of them may be a
        credential.
        """
        try:
            target = self.target.redirected(location)
        except InvalidUrl as error:
            raise Refused(
                f"{self.target.origin} redirects to a URL that is refused: {error}"
            ) from None
        if self.target.scheme == "https" and target.scheme != "https":
            raise Refused(f"{self.target.origin} redirects from https to http.")
        request = replace(self, target=target)
        if self.method in BECOMES_GET.get(status, ()):
            request = replace(request.without(DESCRIBE_BODY), method="GET", body=None)
        if target.origin != self.target.origin:
            request = request.without({name.lower() for name in request.headers} - HARMLESS)
        return request

    def without(self, names: Collection[str]) -> "Request":
        kept = {name: value for name, value in self.headers.items() if name.lower() not in names}
        return replace(self, headers=kept)


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is at most as long as asked for; `truncated` says it was longer."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # names in lower case
    body: bytes = field(repr=False)
    truncated: bool
    target: Target  # after redirects


class Client:
    """Sends requests for tasks. Threads may share one, and it may cross a fork.

    Each request has a connection of its own: nothing is shared between threads, an interrupted
    request spoils no other, and a POST never meets a kept connection that the server just closed.
    No proxy, cookie or `.netrc` of the environment is used. `tls` says whom to trust; without it,
    that is the system's certificates, or those of `SSL_CERT_FILE`.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        self._rules = rules or Rules()
        self._given_tls = tls
        self._lookup = lookup

    def send(
        self,
        request: Request,
        *,
        seconds: float,
        max_redirects: int = 0,
        max_bytes: int = 262_144,
        stop_at: Collection[int] = (),
    ) -> Answer:
        """Send the request and read the answer, all within so many seconds.

        A redirect whose status is in `stop_at` is the answer. Raises `Refused` or `NoAnswer`.
        """
        deadline = Deadline(seconds)
        for _ in range(max_redirects + 1):
            answer = self._exchange(request, deadline, max_bytes)
            location = answer.headers.get("location")
            if answer.status not in REDIRECTS or answer.status in stop_at or location is None:
                return answer
            if not max_redirects:
                return answer
            request = request.redirected(answer.status, location)
        raise Refused(f"{answer.target.origin} redirects more than {max_redirects} times.")

    def _exchange(self, request: Request, deadline: Deadline, max_bytes: int) -> Answer:
        target = request.target
        url = httpcore2.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        connection = httpcore2.HTTPConnection(
            origin=url.origin,
            ssl_context=self._tls if target.scheme == "https" else None,
            network_backend=Guard(self._rules, deadline, self._lookup),
        )
        try:
            response = connection.handle_request(
                httpcore2.Request(
                    request.method, url, headers=on_the_wire(request), content=request.body
                )
            )
            body, truncated = at_most(max_bytes, response.iter_stream())
        except Refused:
            raise
        except NoAnswer as error:
            raise NoAnswer(f"{target.origin}: {error}.") from None
        except httpcore2.NetworkError as error:
            raise NoAnswer(f"{target.origin}: {error}.") from None
        except httpcore2.LocalProtocolError:  # its text may quote a header
            raise Refused(f"The request to {target.origin} is not valid HTTP.") from None
        except httpcore2.RemoteProtocolError as error:  # after a colon it quotes what came
            said = str(error).partition(":")[0].removesuffix(".")
            raise NoAnswer(f"{target.origin}: {said}.") from None
        finally:
            connection.close()
        return Answer(response.status, joined(response.headers), body, truncated, target)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()  # takes 20 ms


def on_the_wire(request: Request) -> list[tuple[bytes, bytes]]:
    headers = {"Host": request.target.authority, **request.headers}
    if request.body is not None or request.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(request.body or b""))
    headers["Connection"] = "close"
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def at_most(limit: int, chunks: Iterable[bytes]) -> tuple[bytes, bool]:
    """The first bytes of a body, and whether there were more."""
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) > limit:
            return bytes(found[:limit]), True
    return bytes(found), False


def joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; those given twice are joined by commas (RFC 9110, 5.3)."""
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("ascii").lower(), value.decode("utf-8", "backslashreplace")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
