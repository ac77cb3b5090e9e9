"""How a web process ends: with its parent, and without keeping waiting clients waiting."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from multiprocessing.process import BaseProcess

from flask import Flask

from api.waiting import WaitingRoom

log = logging.getLogger(__name__)

ENDS = (signal.SIGTERM, signal.SIGINT)
AGAIN = 0.5  # seconds; a SIGTERM that comes while the server starts may be lost on it
PATIENCE = 60  # times SIGTERM is repeated before the process ends without it
TO_SAY_WHY = 5  # seconds another web process gets to write why it cannot begin
LOOK = 0.25  # seconds between two looks whether the main process is still there
LEFT_BEHIND = 2  # seconds to end without it: all are answered within that

# Shared with the web processes, which are forked:
_impossible = mmap(-1, 1)
_one_at_a_time = multiprocessing.get_context("fork").Lock()


@contextmanager
def none_if_not_this_one() -> Iterator[None]:
    """End the whole server if this web process cannot begin: the next one could not, either."""
    try:
        yield
    except (Exception, SystemExit) as problem:
        parent = multiprocessing.parent_process()
        if parent is None or parent.pid is None:
            raise
        _one_at_a_time.acquire(timeout=TO_SAY_WHY)  # another's signal would cut this one's word
        if not _impossible[0]:
            _impossible[0] = 1
            log.critical("the web server ends, it cannot begin: %r", problem, exc_info=True)
        logging.shutdown()  # what was said is written
        sys.stdout.flush()
        os.kill(parent.pid, signal.SIGTERM)
        _one_at_a_time.release()
        os._exit(1)


def could_begin() -> bool:
    """Whether no web process of this server gave up before it could answer anything."""
    return not _impossible[0]


def end_with_parent() -> None:
    """Let this process end when the web server's main process dies, however it dies.

    Left behind, it would go on answering beside the next server on the same port.
    """
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_after, args=(parent,), name="orphaned", daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    # Not by its sentinel: web processes that were forked later keep that open.
    while os.getppid() == parent.pid:
        time.sleep(LOOK)
    # The kernel sees to it, also while an ending server lets no thread of Python have its turn.
    signal.setitimer(signal.ITIMER_REAL, LEFT_BEHIND)
    _insist()


def _insist() -> None:
    """Repeat SIGTERM until this process has ended: the server may not have minded the first."""
    for _ in range(PATIENCE):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(AGAIN)
    os._exit(1)


def let_waiters_go_at_the_end(app: Flask) -> None:
    """Answer whoever waits for a task as soon as this process is told to end.

    The web server sets its own signal handlers; the wake-up descriptor tells of signals besides.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    room: WaitingRoom = app.extensions["waiting_room"]
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(
        target=_close_when_told, args=(heard, room), name="ending", daemon=True
    ).start()


def _close_when_told(heard: int, room: WaitingRoom) -> None:
    while number := os.read(heard, 1):
        if number[0] in ENDS:
            room.close()
            time.sleep(AGAIN)
            _insist()
