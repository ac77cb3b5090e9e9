"""A connection to an address that was checked, with one deadline for everything on it."""

import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import httpcore2

from jobs.outgoing.addresses import Address, Rules
from jobs.outgoing.errors import NoAnswer, Refused

Found = TypeVar("Found")
Lookup = Callable[[str, int], Iterable[Address]]

LONGEST_CONNECT = 10.0  # seconds for one address; less when others are to be tried as well
SLICE = 0.2  # seconds; an interrupt reaches a waiting thread only between two waits


class Deadline:
    """The moment at which a request must be over, however slowly bytes trickle in."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; raises `NoAnswer` when there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise NoAnswer(f"no complete answer within {self.seconds:g} seconds")
        return left


def system_lookup(host: str, port: int) -> Iterable[Address]:
    """Every address of a host, as the system's resolver knows it; raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(sockaddr[0]) for *_, sockaddr in found]


class Guard(httpcore2.NetworkBackend):
    """Opens the connections of one request: resolve once, check, connect to what was checked."""

    def __init__(self, rules: Rules, deadline: Deadline, lookup: Lookup = system_lookup) -> None:
        self._rules = rules
        self._deadline = deadline
        self._lookup = lookup

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        permitted = [each for each in self._addresses(host, port) if self._rules.permit(each)]
        if not permitted:
            raise Refused(
                f"{host} is not at a public address, nor in a network of HTTP_ALLOW_NETWORKS."
            )
        for place, address in enumerate(permitted[:-1]):
            share = self._deadline.remaining() / (len(permitted) - place)
            try:
                return self._connect(address, port, min(share, LONGEST_CONNECT))
            except httpcore2.ConnectError:
                continue
        return self._connect(permitted[-1], port, LONGEST_CONNECT)

    def _addresses(self, host: str, port: int) -> list[Address]:
        """Resolve on a thread of its own: the resolver knows no deadline and no interrupt."""
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        answers: SimpleQueue[list[Address] | OSError] = SimpleQueue()

        def ask() -> None:
            try:
                answers.put(list(dict.fromkeys(self._lookup(host, port))))
            except OSError as error:
                answers.put(error)

        threading.Thread(target=ask, name="lookup", daemon=True).start()
        while True:
            try:
                answer = answers.get(timeout=min(SLICE, self._deadline.remaining()))
            except Empty:
                continue
            if isinstance(answer, OSError):
                raise httpcore2.ConnectError(f"its name does not resolve ({words(answer)})")
            return answer

    def _connect(self, address: Address, port: int, seconds: float) -> "Stream":
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(BlockingIOError):
                sock.connect((str(address), port))
            until = time.monotonic() + seconds
            while not ready(sock, select.POLLOUT, self._deadline):
                if time.monotonic() > until:
                    raise TimeoutError(f"no connection within {seconds:.3g} seconds")
            if failed := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(failed, os.strerror(failed))
        except OSError as error:
            sock.close()
            raise httpcore2.ConnectError(words(error)) from None
        except BaseException:
            sock.close()
            raise
        return Stream(sock, self._deadline)


class Stream(httpcore2.NetworkStream):
    """An open connection; every read and write ends by the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._socket = sock
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._finish(partial(self._socket.recv, max_bytes), select.POLLIN)
        except OSError as error:
            raise httpcore2.ReadError(words(error)) from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        rest = memoryview(buffer)
        try:
            while rest:
                sent = self._finish(partial(self._socket.send, rest), select.POLLOUT)
                rest = rest[sent:]
        except OSError as error:
            raise httpcore2.WriteError(words(error)) from None

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        secured = ssl_context.wrap_socket(
            self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
        )
        stream = Stream(secured, self._deadline)
        try:
            stream._finish(secured.do_handshake, select.POLLIN)
        except OSError as error:
            stream.close()
            raise httpcore2.ConnectError(words(error)) from None
        except BaseException:
            stream.close()
            raise
        return stream

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket):
            return self._socket
        return None

    def _finish(self, operation: Callable[[], Found], event: int) -> Found:
        """Do what does not block, waiting for the socket as often as needed."""
        while True:
            try:
                return operation()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wanted:
                reading = isinstance(wanted, ssl.SSLWantReadError)
                ready(self._socket, select.POLLIN if reading else select.POLLOUT, self._deadline)
            except BlockingIOError:
                ready(self._socket, event, self._deadline)


def ready(sock: socket.socket, event: int, deadline: Deadline) -> bool:
    """Wait a little for a socket; whether something happened on it."""
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(min(SLICE, deadline.remaining()) * 1000))


def words(error: OSError) -> str:
    """What went wrong, without the number of the error or the place in the library."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS failed: {error.reason.replace('_', ' ').lower()}"
    return error.strerror or str(error)
