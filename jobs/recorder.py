"""Puts outcomes on record; under load beside the worker's loop, so that it waits for no commit."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from redis.exceptions import RedisError

from jobs.mirror import Mirror
from jobs.settling import Done, Outbox


class Recorded(NamedTuple):
    """What came of one set."""

    done: Sequence[Done]
    trouble: RedisError | None  # the mirror could not be told; None also if it was not to be
    shown: bool


def record(outbox: Outbox, mirror: Mirror | None) -> Recorded:
    """Settle what has been held longest, then tell the mirror, if there is one.

    Raises `DatabaseUnavailable`; what is not on record is in the outbox as before.
    """
    done = outbox.settle_some()
    try:
        if mirror is not None:
            mirror.show_ended(done)
    except RedisError as error:
        return Recorded(done, error, shown=True)
    return Recorded(done, None, shown=mirror is not None)


class Recorder:
    """Records one set at a time on a thread of its own; `over` is called there when it is over."""

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over
        self._thread: ThreadPoolExecutor | None = None
        self._set: Future[Recorded] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether another set may begin: there is none whose result nobody has asked for."""
        return self._set is None

    @property
    def is_done(self) -> bool:
        """Whether a set is over whose result nobody has asked for."""
        return self._set is not None and self._set.done()

    def begin(self, outbox: Outbox, mirror: Mirror | None) -> None:
        """Begin to `record` what is held."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._set = self._thread.submit(record, outbox, mirror)
        self._set.add_done_callback(lambda _: self._over())

    def result(self) -> Recorded:
        """Wait for the set's end, if there is one, and say what came of it.

        Raises `DatabaseUnavailable`; what is not on record is in the outbox as before.
        """
        under_way, self._set = self._set, None
        return Recorded([], None, shown=False) if under_way is None else under_way.result()

    def rest(self) -> None:
        """Let the thread go once its set is over: a process that forks should have but one."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
