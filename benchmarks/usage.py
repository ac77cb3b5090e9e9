"""What processes cost: CPU time and memory, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time these processes and their ended children have used, in user and kernel mode."""
    total = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:  # it ended: its parent's count has it
            continue
        total += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return total / TICKS


def running_seconds(pids: Iterable[int]) -> float:
    """CPU time of the threads that these processes have, to the nanosecond, and of ended children.

    For what is hardly ever busy: the other count comes in steps of 10 ms a process.
    """
    threads, children = 0, 0
    for pid in pids:
        with suppress(OSError):  # it ended
            for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                threads += int(thread.read_text().split()[0])
            stat = Path(f"/proc/{pid}/stat").read_text()
            children += sum(map(int, stat.rpartition(")")[2].split()[13:15]))
    return threads / 1e9 + children / TICKS


def memory_bytes(pids: Iterable[int]) -> int:
    """Memory of these processes, what they share divided among those who share it (PSS)."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
