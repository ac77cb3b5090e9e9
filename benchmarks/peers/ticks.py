"""Every handler, of every system, appends one byte to a file: its size tells how many have run."""

import os
from functools import cache


@cache
def opened() -> int:
    return os.open(os.environ["BENCH_TICKS"], os.O_WRONLY | os.O_APPEND)


def tick() -> None:
    os.write(opened(), b".")
