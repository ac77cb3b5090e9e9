"""A call beside the worker's loop, so that the loop waits for no server under load."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Beside(Generic[T]):
    """Makes one call at a time on a thread of its own; `over` is called there when it is over."""

    def __init__(self, name: str, over: Callable[[], None]) -> None:
        self._name, self._over = name, over
        self._thread: ThreadPoolExecutor | None = None
        self._call: Future[T] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether another call may begin: there is none whose result nobody has asked for."""
        return self._call is None

    @property
    def is_done(self) -> bool:
        """Whether a call is over whose result nobody has asked for."""
        return self._call is not None and self._call.done()

    def begin(self, call: Callable[[], T]) -> None:
        """Begin this call; there is no other."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        self._call = self._thread.submit(call)
        self._call.add_done_callback(lambda _: self._over())

    def result(self) -> T | None:
        """Wait for the call's end, and return or raise what it did; None if there is no call."""
        under_way, self._call = self._call, None
        return None if under_way is None else under_way.result()

    def rest(self) -> None:
        """Let the thread go once its call is over: a process that forks should have but one."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
