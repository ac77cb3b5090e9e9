"""How a web process ends: with its parent, and without keeping waiting clients waiting."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading

from flask import Flask

from api.waiting import WaitingRoom

PR_SET_PDEATHSIG = 1
ENDS = (signal.SIGTERM, signal.SIGINT)


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the web server's main process dies, however it dies.

    Left behind, this process would go on answering beside the next server on the same port.
    """
    parent = multiprocessing.parent_process()
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent.pid:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


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
            return
