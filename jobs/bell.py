"""What wakes a worker: a message on Redis that something was pushed, or a command of RQ's."""

import json
import logging
from typing import Any

from redis import Redis
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from tasks.broker import WAKE

log = logging.getLogger(__name__)

SHUTDOWN = "shutdown"  # RQ's command to stop a worker, `send_shutdown_command`


class Bell:
    """A subscription; a message that is lost costs no more than one idle sleep."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._channel: Any = None
        self.told_to_stop = False

    @property
    def descriptor(self) -> int | None:
        """What to poll for a message; None while there is no subscription."""
        if self._channel is None or self._channel.connection is None:
            return None
        sock = self._channel.connection._sock
        return None if sock is None else int(sock.fileno())

    def hang(self, worker_id: str) -> None:
        """Subscribe. Raises redis-py's errors."""
        self.take_down()
        self._channel = self._redis.pubsub(ignore_subscribe_messages=True)
        self._channel.subscribe(WAKE, PUBSUB_CHANNEL_TEMPLATE % worker_id)

    def take_down(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def rung(self) -> set[str]:
        """The queues that something was pushed to since the last look. Raises redis-py's errors.

        To be asked once the descriptor is readable.
        """
        queues: set[str] = set()
        more = self._channel is not None
        while more:
            message = self._channel.get_message(timeout=0)
            more = self._channel.connection.can_read(timeout=0)
            if not message or not isinstance(message["data"], bytes):
                continue
            text = message["data"].decode(errors="replace")
            if message["channel"] == WAKE.encode():
                queues.add(text)
            else:
                self._on_command(text)
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
