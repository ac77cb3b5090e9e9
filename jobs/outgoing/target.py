"""The URL of an outgoing request, taken apart once and strictly."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, urljoin, urlsplit

import idna

LONGEST_URL = 8000  # characters; RFC 9110, 4.1
LONGEST_NAME = 253  # of a host; RFC 1035, 2.3.4
DEFAULT_PORTS = {"http": 80, "https": 443}

# Above 1024 everything is open but the ports of the Fetch standard ("port blocking"), where other
# protocols listen that might take an HTTP request for their own.
CLOSED_PORTS = {
    *(set(range(1024)) - set(DEFAULT_PORTS.values())),
    *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6679, 6697, 10080),
    *range(6665, 6670),
}

UNWANTED = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")  # what parsers of URLs disagree about
NETLOC = re.compile(r"(\[(?P<address>[^\]%]*)\]|(?P<name>[^:@%\[\]]+))(:(?P<port>[0-9]{0,5}))?")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")  # in the last label it makes an address of the whole
UNQUOTED = "!#$%&'()*+,-./:;=?@[]_|~"


class InvalidUrl(ValueError):
    """The URL is not one that may be requested; the message is one sentence that says why."""


@dataclass(frozen=True)
class Target:
    """Where a request goes. Everything is ASCII; `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: all that is logged, as the rest of a URL may hold a secret."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return self.origin + self.path

    def redirected(self, location: str) -> "Target":
        """Where a `Location` header leads, seen from here."""
        try:
            return parse(urljoin(str(self), location))
        except InvalidUrl:
            raise
        except ValueError:
            raise InvalidUrl("Not a valid URL.") from None


def parse(url: str) -> Target:
    """Take a URL apart, or raise `InvalidUrl`."""
    if len(url) > LONGEST_URL:
        raise InvalidUrl(f"A URL has at most {LONGEST_URL} characters.")
    if UNWANTED.search(url):
        raise InvalidUrl("A URL has no spaces, control characters or backslashes.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidUrl("Not a valid URL.") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise InvalidUrl("The URL must start with http:// or https://.")
    if "@" in parts.netloc:
        raise InvalidUrl("Put credentials into an Authorization header, not into the URL.")
    place = NETLOC.fullmatch(parts.netloc)
    if place is None:
        raise InvalidUrl("The URL must name a host, and may name a port.")
    port = int(place["port"] or DEFAULT_PORTS[parts.scheme])
    if port in CLOSED_PORTS or port > 65535:
        raise InvalidUrl(f"Port {port} is not one for HTTP.")
    host = host_name(place["name"]) if place["name"] else ipv6_address(place["address"])
    path = quote(parts.path or "/", safe=UNQUOTED)
    query = quote(parts.query, safe=UNQUOTED)
    return Target(parts.scheme, host, port, path=f"{path}?{query}" if query else path)


def host_name(name: str) -> str:
    """A host's name in ASCII, or its IPv4 address in the one usual spelling."""
    try:
        if len(name) > LONGEST_NAME:
            raise idna.IDNAError
        name = name if name.isascii() else idna.encode(name, uts46=True).decode()
    except idna.IDNAError:
        raise InvalidUrl("Not a valid host name.") from None
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > LONGEST_NAME or not all(LABEL.fullmatch(label) for label in labels):
        raise InvalidUrl("Not a valid host name.")
    if NUMERIC.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(name))
        except AddressValueError:
            raise InvalidUrl("Write an IPv4 address as four decimal numbers.") from None
    return name


def ipv6_address(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except AddressValueError:
        raise InvalidUrl("Not a valid IPv6 address.") from None
