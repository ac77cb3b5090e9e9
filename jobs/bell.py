"""What wakes a worker: a message that something was pushed, a task handed over, a word of RQ's."""

import json
import logging
from socket import socket
from ssl import SSLSocket
from typing import NamedTuple

from hiredis import Reader
from redis import Redis
from redis.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from tasks.scripts import HANDED, WAKE

log = logging.getLogger(__name__)

ROOM = 65_536  # bytes
SHUTDOWN = "shutdown"  # RQ's command to stop a worker, `send_shutdown_command`


class Heard(NamedTuple):
    """What was said since the last look."""

    queues: set[str]  # something was pushed to them
    handed: list[str]  # ids that stand in the worker's popped set


class Bell:
    """A subscription. A message that is lost costs no more than one idle sleep, or, if a task was
    handed over with it, than to hang the bell again.

    On a connection of its own, which redis-py makes and hiredis reads: to read a message is the
    first thing that a worker does when it is woken, and everything waits for it.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._line: Connection | None = None
        self._reader = Reader(InvalidResponse)
        self.told_to_stop = False

    @property
    def descriptor(self) -> int | None:
        """What to poll for a message; None while there is no subscription."""
        sock = None if self._line is None else self._line._sock
        return None if sock is None else int(sock.fileno())

    def hang(self, worker_id: str) -> None:
        """Subscribe. Raises redis-py's errors."""
        self.take_down()
        self._line, self._reader = self._pool.get_connection(), Reader(InvalidResponse)
        channels = (WAKE, HANDED + worker_id, PUBSUB_CHANNEL_TEMPLATE % worker_id)
        self._line.send_command("SUBSCRIBE", *channels)

    def take_down(self) -> None:
        if self._line is not None:
            self._line.disconnect()
            self._pool.release(self._line)
            self._line = None

    def rung(self) -> Heard:
        """What it says. To be asked once the descriptor is readable. Raises redis-py's errors."""
        heard = Heard(set(), [])
        self._reader.feed(self._read())
        while (said := self._reader.gets()) is not False:
            match said:
                case [b"message", channel, bytes(data)]:
                    text = data.decode(errors="replace")
                    if channel == WAKE.encode():
                        heard.queues.add(text)
                    elif channel.startswith(HANDED.encode()):
                        heard.handed.append(text)
                    else:
                        self._on_command(text)
        return heard

    def _read(self) -> bytes:
        """What has come, as much as there is room for. Raises redis-py's errors."""
        sock: socket | None = None if self._line is None else self._line._sock
        if self._line is None or sock is None:
            return b""
        came: bytes = b""
        problem: OSError | None = None
        try:
            came = sock.recv(ROOM)
            while isinstance(sock, SSLSocket) and (held := sock.pending()):
                came += sock.recv(held)  # no poll tells of what is decrypted already
        except OSError as error:
            problem = error
        if problem or not came:
            self._line.disconnect()
            raise RedisConnectionError("the bell's connection is broken") from problem
        return came

    def _on_command(self, text: str) -> None:
        try:
            command = json.loads(text).get("command")
        except (ValueError, AttributeError):
            command = None
        if command == SHUTDOWN:
            self.told_to_stop = True
        else:
            log.info("ignored the RQ command %.100r: cancel tasks over the API", text)
