"""An event that a signal's handler may set, whatever the thread it interrupts is doing."""

import os
import select
import threading
from contextlib import suppress

LOOK_AGAIN = 1.0  # seconds


class Interrupt(threading.Event):
    """What granian's main loop waits for.

    `threading.Event` has a lock. A handler that sets it while its own thread is just about to wait
    waits for that lock for ever, and a server that was told to end never does. This one is set
    while there is something to read in a pipe.
    """

    def __init__(self) -> None:
        super().__init__()
        self._heard, self._told = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._told, False)

    def is_set(self) -> bool:
        return self.wait(0)

    def set(self) -> None:
        with suppress(BlockingIOError):  # it is full, so it is set
            os.write(self._told, b"\0")

    def clear(self) -> None:
        with suppress(BlockingIOError):  # there is nothing left
            while os.read(self._heard, 4096):
                pass

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is set, now or within that many seconds.

        Nobody waits longer than `LOOK_AGAIN`: granian may clear what was set since it last looked
        at its flags, and looks at them after each wait.
        """
        longest = LOOK_AGAIN if timeout is None else min(timeout, LOOK_AGAIN)
        return bool(select.select([self._heard], [], [], longest)[0])
