"""A process whose clock is wrong, as far as this machine lets us have one.

With libfaketime (Debian's package `faketime`) every clock of the process is wrong. Without it only
what Python asks: this file then runs a module with `time.time`, `time.time_ns` and `datetime`
shifted, while libraries in C go on reading the right time.
"""

from __future__ import annotations

import datetime
import runpy
import sys
import time
from pathlib import Path
from typing import Any

LIBRARIES = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]


def how() -> str:
    return "libfaketime" if LIBRARIES else "Python's clocks alone"


def run_wrongly(module: str, seconds: int) -> tuple[list[str], dict[str, str]]:
    """The command and environment that run a module with its clock that much ahead."""
    if LIBRARIES:
        return [sys.executable, "-m", module], {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME": f"{seconds:+d}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    return [sys.executable, __file__, str(seconds), module], {}


def shift(seconds: float) -> None:
    """Let Python's clocks be that much ahead from now on."""
    right_time, right_time_ns, right_datetime = time.time, time.time_ns, datetime.datetime

    class Instances(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, right_datetime)

    class Datetime(right_datetime, metaclass=Instances):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return right_datetime.now(tz) + datetime.timedelta(seconds=seconds)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(datetime.UTC).replace(tzinfo=None)

    time.time = lambda: right_time() + seconds
    time.time_ns = lambda: right_time_ns() + int(seconds * 1e9)
    datetime.datetime = Datetime  # type: ignore[misc]  # that is the point


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    shift(float(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
