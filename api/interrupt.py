"""An event that a signal's handler may set, whatever the thread it interrupts is doing."""

import os
import select
import threading
from contextlib import suppress

LOOK_AGAIN = 1.0  # seconds


class Interrupt(threading.Event):
    """What granian's main loop waits for.

    `threading.Event` has a lock. A handler that sets it while its own thread is just about to wait
    waits for that lock for ever, and a server that was told to end never does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._happened = False
        self._heard, self._told = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._told, False)

    def is_set(self) -> bool:
        return self._happened

    def set(self) -> None:
        self._happened = True
        with suppress(BlockingIOError):  # it is full: that wakes as well
            os.write(self._told, b"\0")

    def clear(self) -> None:
        self._happened = False  # first: what is set from here on stays set
        with suppress(BlockingIOError):
            while os.read(self._heard, 4096):
                pass

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is set, now or within that many seconds.

        Nobody waits longer than `LOOK_AGAIN`: granian may clear what was set since it last looked
        at its flags, and looks at them after each wait.
        """
        if not self._happened:
            longest = LOOK_AGAIN if timeout is None else min(timeout, LOOK_AGAIN)
            select.select([self._heard], [], [], longest)
        return self._happened
