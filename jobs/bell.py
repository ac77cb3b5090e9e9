"""What wakes a worker: a message on Redis that something was pushed, or a command of RQ's."""

import json
import logging

from redis import Redis
from redis.connection import Connection
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from tasks.broker import WAKE

log = logging.getLogger(__name__)

SHUTDOWN = "shutdown"  # RQ's command to stop a worker, `send_shutdown_command`


class Bell:
    """A subscription; a message that is lost costs no more than one idle sleep.

    On a connection of its own, without redis-py's `PubSub`: to read a message is the first thing
    that a worker does when it is woken, and everything waits for it.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._line: Connection | None = None
        self.told_to_stop = False

    @property
    def descriptor(self) -> int | None:
        """What to poll for a message; None while there is no subscription."""
        sock = None if self._line is None else self._line._sock
        return None if sock is None else int(sock.fileno())

    def hang(self, worker_id: str) -> None:
        """Subscribe. Raises redis-py's errors."""
        self.take_down()
        self._line = self._pool.get_connection()
        self._line.send_command("SUBSCRIBE", WAKE, PUBSUB_CHANNEL_TEMPLATE % worker_id)

    def take_down(self) -> None:
        if self._line is not None:
            self._line.disconnect()
            self._pool.release(self._line)
            self._line = None

    def rung(self) -> set[str]:
        """The queues that something was pushed to since the last look. Raises redis-py's errors.

        To be asked once the descriptor is readable.
        """
        queues: set[str] = set()
        more = self._line is not None
        while more and self._line is not None:
            match self._line.read_response(push_request=True):
                case [b"message", channel, bytes(data)]:
                    text = data.decode(errors="replace")
                    if channel == WAKE.encode():
                        queues.add(text)
                    else:
                        self._on_command(text)
            more = self._line.can_read()
        return queues

    def _on_command(self, text: str) -> None:
        try:
            command = json.loads(text).get("command")
        except (ValueError, AttributeError):
            command = None
        if command == SHUTDOWN:
            self.told_to_stop = True
        else:
            log.info("ignored the RQ command %.100r: cancel tasks over the API", text)
