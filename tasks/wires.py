"""Scripts on the hot path: sent to Redis over connections that are kept ready.

For each command redis-py borrows a connection of its pool, makes sure of it and keeps several
accounts of that. On a processor that has just slept that takes longer than Redis does.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from redis import ConnectionPool
from redis.commands.core import Script
from redis.connection import Connection
from redis.exceptions import NoScriptError, ResponseError

from tasks.express import is_cut


class Wires:
    """As many connections as are used at a time; they are closed with the pool they are from."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._idle: deque[Connection] = deque()

    def run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """What the script returns. Raises redis-py's errors; it may have run nevertheless."""
        wire = self._take()
        try:
            try:
                return _ask(wire, "EVALSHA", script.sha, len(keys), *keys, *args)
            except NoScriptError:
                return _ask(wire, "EVAL", script.script, len(keys), *keys, *args)
        finally:
            self._idle.append(wire)

    def _take(self) -> Connection:
        try:
            wire = self._idle.pop()
        except IndexError:
            return self._pool.get_connection()
        if wire.is_connected and is_cut(wire._sock):
            wire.disconnect()  # it connects again when it is used
        return wire


def _ask(wire: Connection, *command: Any) -> Any:
    try:
        wire.send_command(*command)
        return wire.read_response()
    except ResponseError:
        raise
    except BaseException:  # also a handler's interruption: the answer is still on its way
        wire.disconnect()
        raise
