"""What handlers really did: an append-only file with a line at each begin and each end.

A line is written by one `write` to a file opened with O_APPEND, so lines of many processes never
mix, and a process that is killed a moment later has left its line.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = "CHAOS_EXECUTIONS"  # the setting that names it
TAIL = 20_000  # bytes


class Attempt(NamedTuple):
    """Which attempt of which task."""

    task_id: str
    number: int


@dataclass
class Execution:
    """One run of a handler."""

    attempt: Attempt
    pid: int
    began: float  # seconds of the epoch, as all times of a run: one machine, one clock
    ended: float | None = None  # None: its process died
    how: str = "died"  # returned, or the exception's name


@contextmanager
def noted(attempt: Attempt) -> Iterator[None]:
    """Note that a handler runs, and how it ends."""
    _write("begin", attempt, "-")
    how = "returned"
    try:
        yield
    except BaseException as error:
        how = type(error).__name__
        raise
    finally:
        _write("end", attempt, how)


def _write(what: str, attempt: Attempt, how: str) -> None:
    line = f"{what} {attempt.task_id} {attempt.number} {os.getpid()} {time.time():.6f} {how}\n"
    os.write(_file(), line.encode())


@cache
def _opened_by(pid: int) -> int:
    return os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def _file() -> int:
    return _opened_by(os.getpid())


def under_way(path: Path, pids: Collection[int]) -> bool:
    """Whether one of these processes is in a handler now, as far as the last lines tell."""
    with path.open("rb") as file:
        before = max(0, path.stat().st_size - TAIL)
        file.seek(before)
        lines = file.read().decode().splitlines()[1 if before else 0 :]  # the first may be half
    last = {int(pid): what for what, _, _, pid, *_ in map(str.split, lines)}
    return any(last.get(pid) == "begin" for pid in pids)


def read(path: Path) -> Mapping[str, list[Execution]]:
    """Every execution by task id, in the order of their begins."""
    found: dict[str, list[Execution]] = defaultdict(list)
    running: dict[tuple[Attempt, int], Execution] = {}
    text = path.read_text() if path.exists() else ""
    for line in text.splitlines():
        what, task_id, number, pid, at, how = line.split()
        attempt = Attempt(task_id, int(number))
        if what == "begin":
            execution = Execution(attempt, int(pid), float(at))
            running[attempt, int(pid)] = execution
            found[task_id].append(execution)
        elif (attempt, int(pid)) in running:
            execution = running.pop((attempt, int(pid)))
            execution.ended, execution.how = float(at), how
    return found
