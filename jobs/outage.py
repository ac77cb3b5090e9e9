"""When a server is away: say so once, and try again after a pause that grows and varies."""

import logging
import random
import time
from types import TracebackType

from redis.exceptions import RedisError

from tasks.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.05  # seconds
LONGEST_PAUSE = 1.0


class Outage:
    """Guards calls to one server: its errors end the block and begin a pause."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._error = DatabaseUnavailable if server == "PostgreSQL" else RedisError
        self._pause = 0.0  # seconds; 0 while the server is there
        self.until = 0.0  # monotonic time of the next try

    def over(self, now: float) -> bool:
        """Whether the server may be asked."""
        return now >= self.until

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if kind is None:
            if self._pause:
                log.info("%s is back", self._server)
            self._pause = 0.0
            return False
        if not issubclass(kind, self._error):
            return False
        if not self._pause:
            log.warning("%s is away: %s", self._server, error.__cause__ or error if error else kind)
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, self._pause * 2))
        # Full jitter, so that workers that lost the server together do not return together.
        wait = random.uniform(FIRST_PAUSE, self._pause)  # noqa: S311  # spreads load
        self.until = time.monotonic() + wait
        return True
