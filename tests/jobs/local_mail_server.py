"""A real mail server on loopback that accepts or refuses as a test tells it."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class MailServer:
    """Accepts everything until told otherwise, and remembers what it accepted."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, str] = {}  # to MAIL, DATA or a recipient, instead of 250
        self.password = "open sesame"
        self.accepted: list[tuple[Envelope, bool]] = []  # and whether it came encrypted

    @property
    def envelopes(self) -> list[Envelope]:
        return [envelope for envelope, _ in self.accepted]

    @property
    def messages(self) -> list[EmailMessage]:
        read = policy.default.clone(raise_on_defect=True)
        return [
            message_from_bytes(envelope.content.replace(b"\r\n", b"\n"), policy=read)
            for envelope in self.envelopes
        ]

    async def handle_MAIL(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802  # the same
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address not in self.answers:
            envelope.rcpt_tos.append(address)
        return self.answers.get(address, "250 OK")

    async def handle_DATA(  # noqa: N802  # the same
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if "DATA" not in self.answers:
            self.accepted.append((envelope, session.ssl is not None))
        return self.answers.get("DATA", "250 OK")

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        known = isinstance(data, LoginPassword) and data.password == self.password.encode()
        return AuthResult(success=known, handled=False)


@contextmanager
def serving_mail(tls: ssl.SSLContext | None = None, **terms: Any) -> Iterator[MailServer]:
    """`tls` encrypts from the start; the other terms are those of `aiosmtpd.smtp.SMTP`."""
    mail = MailServer()
    loop = asyncio.new_event_loop()
    connections: list[SMTP] = []

    def greet() -> SMTP:
        connections.append(
            SMTP(mail, loop=loop, hostname="here", authenticator=mail.authenticate, **terms)
        )
        return connections[-1]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        mail.port = listener.getsockname()[1]
        server = loop.run_until_complete(loop.create_server(greet, sock=listener, ssl=tls))
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield mail
        finally:
            try:
                asyncio.run_coroutine_threadsafe(close(server, connections), loop).result(10)
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join(10)
                loop.close()


async def close(server: asyncio.Server, connections: list[SMTP]) -> None:
    server.close()
    for connection in connections:
        if connection.transport is not None:
            with suppress(AttributeError):  # what Python 3.11.2 says of one that is over
                connection.transport.abort()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
