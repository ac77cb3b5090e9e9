"""A pair of sockets between a worker and one horse: whole messages, in order.

Each message is read by exactly one reader. The worker keeps a second hold of the horse's end, so
it can take back assignments that the horse has not read yet: what the kernel gives to the worker
the horse never sees.
"""

import os
import socket
import tempfile
from array import array
from collections.abc import Iterator

WHOLE = 64 * 1024  # bytes; a larger message travels as a file that only its descriptor names
ROOM = socket.CMSG_SPACE(array("i").itemsize)  # for one descriptor
BUFFER = 4 * 1024 * 1024


class Channel:
    """One end of the pair, for whole messages of any size."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def of(cls, descriptor: int) -> "Channel":
        """The end that an inherited file descriptor stands for."""
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: bytes, tag: bytes = b"-", *, wait: bool = True) -> bool:
        """Send a message; False if the other side is gone or, without `wait`, too far behind.

        The `tag` is one byte that the other side can see before it takes the message.
        """
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            if len(message) <= WHOLE:
                self._end.send(tag + b"m" + message, flags)
            else:
                with tempfile.TemporaryFile() as file:
                    file.write(message)
                    file.flush()
                    descriptor = array("i", [file.fileno()])
                    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)
                    self._end.sendmsg([tag + b"f"], [rights], flags)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False
        return True

    def peek(self) -> bytes | None:
        """Wait for a message and see its tag; None if the pair is closed."""
        try:
            return self._end.recv(1, socket.MSG_PEEK) or None
        except OSError:
            return None

    def receive(self, *, wait: bool) -> tuple[bytes, bytes] | None:
        """The tag and the text of the next message.

        None if there is none and `wait` is false, or if the pair is closed.
        """
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            data, ancillary, _, _ = self._end.recvmsg(WHOLE + 2, ROOM, flags)
        except OSError:  # nothing there, or nobody
            return None
        if not data:
            return None
        if data[1:2] == b"m":
            return data[:1], data[2:]
        descriptor = array("i", ancillary[0][2])[0]
        with os.fdopen(descriptor, "rb") as file:
            file.seek(0)
            return data[:1], file.read()

    def drain(self) -> Iterator[bytes]:
        """The text of every message that is there now."""
        while (received := self.receive(wait=False)) is not None:
            yield received[1]

    def finish(self) -> None:
        """Send no more: the other side reads what is there, then hears that this was all."""
        self._end.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._end.close()


def pair() -> tuple[Channel, Channel]:
    """Two connected ends."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return Channel(ends[0]), Channel(ends[1])
