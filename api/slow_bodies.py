"""A client that sends its body too slowly is shown out, so that it keeps no thread for long.

granian reads a body in the thread that answers, without a deadline, and nothing but the end of the
connection wakes that thread. It does not tell which connection a request came by, either. So while
bodies are slow, and only then, a watch asks the kernel about the connections of this process: one
from the same address that was given nothing, look after look, is where a body is missing (or it is
idle, and granian ends those sooner). No more is read from it: the thread wakes up and answers 408.

Whoever waits for a task (`?wait=`) is given nothing meanwhile either. If anybody at the address
does, the watch has so much more patience with all of that address.

Nor does granian mind a client that never takes its answer. There the kernel can be told to.
"""

import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, NamedTuple

from api.schemas import LONGEST_WAIT

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between two looks
PATIENCE = 20  # looks that a body may take …
HURRY = 5  # … while most threads are held by such bodies
TAKEN_WITHIN = 30_000  # milliseconds in which a client takes something of its answer
SOCKETS = Path("/proc/self/fd")
DATA_SEGMENTS_OUT = 156  # where `struct tcp_info` has tcpi_data_segs_out, since Linux 4.6

Environ = dict[str, Any]

_reading: dict[int, Environ] = {}  # by thread: whose body it reads at the moment
_waiting: dict[int, Environ] = {}  # by thread: for whom it waits for the end of a task
_slow: frozenset[int] = frozenset()  # threads that read the same body for more than a look


def read(environ: Environ, size: int) -> bytes:
    """The next bytes of this request's body: `size`, or fewer if it ends before."""
    thread = threading.get_ident()
    _reading[thread] = environ
    try:
        found: bytes = environ["wsgi.input"].read(size)
        return found
    finally:
        del _reading[thread]


def is_slow() -> bool:
    """Whether the body that this thread has just read was long in coming."""
    return threading.get_ident() in _slow


@contextmanager
def waiting(environ: Environ) -> Iterator[None]:
    """Meanwhile this client is given nothing because it asked to wait."""
    thread = threading.get_ident()
    _waiting[thread] = environ
    try:
        yield
    finally:
        del _waiting[thread]


def watch(port: int, threads: int) -> None:
    """Show slow clients of this process out from now on, where the kernel tells what is needed."""
    if hasattr(socket, "TCP_INFO") and SOCKETS.is_dir():
        looks = Watch(port, threads)
        threading.Thread(target=looks.go_on, name="slow bodies", daemon=True).start()


def limit_readers(port: int) -> bool:
    """End connections whose client takes no byte of an answer for long; whether that is arranged.

    The kernel does it, for all connections that the socket which listens will accept.
    """
    for found in sockets(port):
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKEN_WITHIN)
            return True
    return False


class Connection(NamedTuple):
    """A client's connection, as the kernel sees it."""

    socket: socket.socket
    address: str
    number: int  # of the socket, for as long as it is open
    answers: int  # segments sent to the client so far


class Watch:
    """What was seen of the clients of one web process."""

    def __init__(self, port: int, threads: int) -> None:
        self._port, self._threads = port, threads
        self._seen: dict[int, int] = {}  # by thread: which request's body it read
        self._looks: dict[tuple[int, int], int] = {}  # by connection and answers: since so many

    def go_on(self) -> None:
        limited = False
        while True:
            time.sleep(LOOK)
            try:
                limited = limited or limit_readers(self._port)
                if out := self.look():
                    log.warning("showed out %d clients whose bodies did not come", out)
            except Exception:
                log.exception("could not look for slow clients")

    def look(self) -> int:
        """Stop reading from whoever has had time enough; return from how many."""
        global _slow
        reading = dict(_reading)
        slow = [thread for thread in reading if self._seen.get(thread) == id(reading[thread])]
        self._seen = {thread: id(environ) for thread, environ in reading.items()}
        _slow = frozenset(slow)
        if not slow:
            self._looks.clear()
            return 0
        suspects = {address_of(reading[thread]) for thread in slow}
        waiting = {address_of(environ) for environ in list(_waiting.values())}
        patience = HURRY if len(slow) > self._threads // 2 else PATIENCE
        looks, out = {}, 0
        for each in connections(self._port):
            if each.address not in suspects:
                continue
            key = (each.number, each.answers)
            looks[key] = self._looks.get(key, 0) + 1
            if looks[key] > patience + (LONGEST_WAIT if each.address in waiting else 0):
                with suppress(OSError):  # it has just left
                    each.socket.shutdown(socket.SHUT_RD)
                out += 1
        self._looks = looks
        return out


def address_of(environ: Environ) -> str:
    """Who is at the other end of the connection, a proxy if it comes by one."""
    came: Environ = environ.get("werkzeug.proxy_fix.orig", environ)
    return plain(came.get("REMOTE_ADDR") or "0.0.0.0")  # noqa: S104  # nobody's address


def plain(address: str) -> str:
    """The address in one spelling: an IPv4 address is not dressed up as an IPv6 one."""
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def connections(port: int) -> Iterator[Connection]:
    """The connections of this process's clients, each open until the next is asked for."""
    for found in sockets(port):
        if connection := as_client(found):
            yield connection


def sockets(port: int) -> Iterator[socket.socket]:
    """This process's sockets at this port, each open until the next is asked for."""
    for path in SOCKETS.iterdir():
        with suppress(OSError):  # it was closed meanwhile
            if path.is_socket():
                with socket.socket(fileno=os.dup(int(path.name))) as found:
                    inet = found.family in (socket.AF_INET, socket.AF_INET6)
                    if inet and found.getsockname()[1] == port:
                        yield found


def as_client(found: socket.socket) -> Connection | None:
    """What the kernel knows of this socket, if it is a client's connection."""
    try:
        peer = found.getpeername()
    except OSError:  # it listens
        return None
    told = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    (answers,) = struct.unpack_from("=I", told, DATA_SEGMENTS_OUT)
    return Connection(found, plain(peer[0]), os.fstat(found.fileno()).st_ino, answers)
