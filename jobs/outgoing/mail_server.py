"""The operator's mail server, as the settings describe it."""

import re
import ssl
from dataclasses import dataclass, field
from email.headerregistry import Address
from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

from jobs.outgoing.target import InvalidUrl, host_name

Encryption = Literal["from the start", "by STARTTLS", "none"]

SCHEMES: dict[str, tuple[int, Encryption]] = {
    "smtp": (587, "by STARTTLS"),
    "smtps": (465, "from the start"),
    "smtp+plain": (25, "none"),
}
ATOMS = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)  # RFC 5321


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in, as whom, and from which address it comes."""

    host: str
    port: int
    encryption: Encryption
    sender: Address
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)  # None: the system's authorities


def mail_server(url: str, sender: str) -> MailServer:
    """Read `SMTP_URL` and `SMTP_FROM`, or raise `ValueError` with a sentence that names it.

    `smtp://` insists on STARTTLS, but not on loopback; `smtps://` speaks TLS from the start;
    `smtp+plain://` sends in the clear.
    """
    try:
        parts = urlsplit(url)
        port, encryption = SCHEMES[parts.scheme]
        host = parts.hostname or ""
        port = parts.port or port
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    except (KeyError, ValueError):
        host = user = password = ""
    if not host or not (user + password).isascii():  # SMTP's AUTH has no other characters
        raise ValueError("SMTP_URL must be like smtp://user:password@host:587 or smtps://host.")
    if is_loopback(host) and encryption == "by STARTTLS":
        encryption = "none"
    return MailServer(host, port, encryption, sender_address(sender), user, password)


def sender_address(text: str) -> Address:
    """`a@example.com` or `A Name <a@example.com>`."""
    name, _, rest = text.rpartition("<")
    name = name.strip().strip('"')
    try:
        address = mail_address(rest.removesuffix(">").strip())
    except ValueError:
        address = ""
    if not address or not name.isprintable():
        raise ValueError("SMTP_FROM must be like tasks@example.com or Tasks <tasks@example.com>.")
    return Address(name, addr_spec=address)


def mail_address(text: str) -> str:
    """The address with its domain in ASCII, or `ValueError`; there are no quoted local parts."""
    local, _, domain = text.rpartition("@")
    try:
        name = host_name(domain)
    except InvalidUrl:
        name = ""
    numeric = name.rpartition(".")[2].isdigit()
    if not name or numeric or len(local) > 64 or not ATOMS.fullmatch(local):
        raise ValueError("Not a valid mail address.")
    return f"{local}@{name}"


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
