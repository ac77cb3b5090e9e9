"""Hand one message to the operator's mail server."""

import select
import smtplib
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from email.message import EmailMessage
from functools import cache
from typing import Any

from jobs.outgoing.connection import SLICE, words
from jobs.outgoing.errors import NoAnswer, Refused
from jobs.outgoing.mail_server import MailServer

TO_CONNECT = 20.0  # seconds; also for each packet
TO_ANSWER = 60.0  # seconds for one answer
TO_ACCEPT = 300.0  # seconds for the message itself: leaving too early means sending it twice


class Session(smtplib.SMTP):
    """Waits for answers in slices, as an interrupt reaches a thread only between two waits."""

    patience = TO_ANSWER

    def connect(
        self, host: str = "", port: int = 0, source_address: Any = None
    ) -> tuple[int, bytes]:
        try:
            return super().connect(host, port, source_address)
        except BaseException:
            self.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        until = time.monotonic() + self.patience
        while self.sock and not self._has_answered(self.sock):
            if time.monotonic() > until:
                self.close()
                raise smtplib.SMTPServerDisconnected(f"no answer within {self.patience:g} seconds")
        return super().getreply()

    def _has_answered(self, sock: socket.socket) -> bool:
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(SLICE * 1000))


class EncryptedSession(Session, smtplib.SMTP_SSL):
    """The same with TLS from the start."""


@cache
def trust() -> ssl.SSLContext:
    """The system's authorities. Not shared with HTTP, which writes its own name into a context."""
    return ssl.create_default_context()


@cache
def own_name() -> str:
    """This machine's name, as smtplib finds it; slowly, where nobody knows it."""
    return smtplib.SMTP().local_hostname


def deliver(server: MailServer, message: EmailMessage, recipients: Sequence[str]) -> dict[str, str]:
    """Hand the message in for all recipients at once; return those refused for good, and why.

    Nobody gets the message twice: while the server refuses anybody *for now*, nobody gets it.
    Raises `NoAnswer` for that, for network errors and for a server that does not let us in (its
    operator can cure that); `Refused` when the server refuses the message or every recipient.
    """
    try:
        connection = connect(server)
    except smtplib.SMTPResponseException as error:
        raise NoAnswer(f"The mail server did not let us in: {reply(error)}") from None
    except OSError as error:  # among them smtplib's own
        raise NoAnswer(f"The mail server cannot be reached: {words(error)}") from None
    try:
        refused = hand_in(connection, server.sender.addr_spec, message, recipients)
        with suppress(OSError):  # it is handed in; nothing may make us try again
            connection.quit()
    except smtplib.SMTPResponseException as error:
        failure = NoAnswer if error.smtp_code < 500 else Refused
        raise failure(f"The mail server refused the message: {reply(error)}") from None
    except OSError as error:
        raise NoAnswer(f"The mail server stopped answering: {words(error)}") from None
    finally:
        connection.close()
    return refused


def connect(server: MailServer) -> Session:
    """A connection that is encrypted and signed in as the settings say."""
    tls = None
    if server.encryption != "none":
        tls = server.tls or trust()
    if server.encryption == "from the start":
        connection: Session = EncryptedSession(
            server.host, server.port, own_name(), timeout=TO_CONNECT, context=tls
        )
    else:
        connection = Session(server.host, server.port, own_name(), timeout=TO_CONNECT)
    try:
        if server.encryption == "by STARTTLS":
            connection.starttls(context=tls)
        if server.user:
            connection.login(server.user, server.password)
        connection.ehlo_or_helo_if_needed()
    except BaseException:
        connection.close()
        raise
    return connection


def hand_in(
    connection: Session, sender: str, message: EmailMessage, recipients: Sequence[str]
) -> dict[str, str]:
    content = message.as_bytes()
    size = [f"SIZE={len(content)}"] if connection.has_extn("size") else []
    expect(250, *connection.mail(sender, size))
    refused: dict[str, smtplib.SMTPResponseException] = {}
    for recipient in recipients:
        code, said = connection.rcpt(recipient)
        if code not in (250, 251):
            refused[recipient] = smtplib.SMTPResponseException(code, said)
    errors = sorted(refused.values(), key=lambda error: error.smtp_code)
    if errors and (errors[0].smtp_code < 500 or len(refused) == len(recipients)):
        raise errors[0]
    connection.patience = TO_ACCEPT
    expect(250, *connection.data(content))
    return {recipient: reply(error) for recipient, error in refused.items()}


def expect(wanted: int, code: int, said: bytes) -> None:
    if code != wanted:
        raise smtplib.SMTPResponseException(code, said)


def reply(error: smtplib.SMTPResponseException) -> str:
    """The server's words on one line."""
    said = error.smtp_error
    text = said.decode("utf-8", "backslashreplace") if isinstance(said, bytes) else said
    return " ".join(f"{error.smtp_code} {text}".split())[:500]
