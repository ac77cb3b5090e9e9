"""What can be done to a process that has come to a step."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum, auto
from pathlib import Path

import psycopg2
import redis

from tasks import failpoints

OF_REDIS = frozenset({"push", "pop", "mirror", "present"})


class Deed(StrEnum):
    KILL = auto()  # SIGKILL
    PAUSE = auto()  # SIGSTOP, for longer than the lease
    RAISE = auto()  # an error that nobody expects
    CUT_OFF = auto()  # every connection of the process to its servers is lost
    LOSE_ANSWER = auto()  # it is done, but the answer does not arrive


class Mistake(Exception):
    """An error that nobody expects."""


def arm(step: str, moment: str, deed: Deed, mark: Path) -> None:
    """Do this deed the first time this process, or a child of it, comes there."""

    def reached(here: str, when: str) -> None:
        if (here, when) == (step, moment) and first(mark):
            DEEDS[deed](step)

    failpoints.reached = reached


def first(mark: Path) -> bool:
    """Whether this is the first time; the file tells the test that it has happened."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def kill(step: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pause(step: str) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def err(step: str) -> None:
    raise Mistake(step)


def cut_off(step: str) -> None:
    """Shut down every TCP connection, as a network that fails does."""
    for name in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            copy = os.dup(int(name.name))
            end = socket.socket(fileno=copy)
            if end.family == socket.AF_INET and end.type == socket.SOCK_STREAM:
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def lose_answer(step: str) -> None:
    if step in OF_REDIS:
        raise redis.exceptions.ConnectionError("the answer was lost")
    raise psycopg2.OperationalError("the answer was lost")


DEEDS: dict[Deed, Callable[[str], None]] = {
    Deed.KILL: kill,
    Deed.PAUSE: pause,
    Deed.RAISE: err,
    Deed.CUT_OFF: cut_off,
    Deed.LOSE_ANSWER: lose_answer,
}
