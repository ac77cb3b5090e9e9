"""Being told to stop: a signal sets a flag and wakes whoever sleeps, and nothing else."""

import os
import select
import signal
import time
from types import FrameType


class Stop:
    """A flag that several threads can sleep on, and that a signal handler may set at any moment.

    (A `threading.Event` may not: its lock may be held by the very code the signal interrupts.)
    """

    def __init__(self) -> None:
        self.asked = False
        self._hear, self._tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def ask(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """Ask to stop; also usable as a signal handler."""
        self.asked = True
        try:
            os.write(self._tell, b"!")  # never read, so everybody wakes, now and later
        except BlockingIOError:  # it was told more often than the pipe holds
            return

    def on_signals(self) -> None:
        """Stop at SIGTERM and at Ctrl-C."""
        signal.signal(signal.SIGTERM, self.ask)
        signal.signal(signal.SIGINT, self.ask)

    def sleep(self, seconds: float) -> None:
        """Return after this time, or as soon as it is asked to stop."""
        deadline = time.monotonic() + seconds
        ears = select.poll()
        ears.register(self._hear, select.POLLIN)
        while not self.asked and (left := deadline - time.monotonic()) > 0:
            ears.poll(max(1, int(min(left, 3600) * 1000)))  # the system takes no infinity
