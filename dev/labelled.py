"""Print what several programs say, line by line, each behind its name."""

from __future__ import annotations

import sys
from itertools import cycle
from threading import Lock, Thread
from typing import IO

COLOURS = cycle(["\033[36m", "\033[33m", "\033[32m", "\033[35m"])
PLAIN = "\033[0m"
WIDTH = 10

one_line_at_a_time = Lock()


def follow(name: str, output: IO[bytes]) -> Thread:
    """Print until the program's output ends, in a thread."""
    colour, plain = (next(COLOURS), PLAIN) if sys.stdout.isatty() else ("", "")

    def copy() -> None:
        with output:
            for line in output:
                say(f"{colour}{name:{WIDTH}}|{plain} {line.decode(errors='replace').rstrip()}")

    thread = Thread(target=copy, daemon=True)
    thread.start()
    return thread


def say(line: str = "") -> None:
    """Print one line; who reads us may be gone already, and that stops nothing."""
    with one_line_at_a_time:
        try:
            print(line, flush=True)
        except OSError:
            sys.stdout = None
