"""Outcomes that PostgreSQL could not take before the worker had to go, kept on disk.

The file is complete and on the disk before it has its name, so a reader sees all of it or nothing.
The next worker that starts with this folder replays it through the same fenced settle; whatever
was decided otherwise meanwhile wins.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import orjson

from tasks.lifecycle import Move, Outcome
from tasks.store import Holder, Settlement

log = logging.getLogger(__name__)


def save(folder: Path, settlements: Sequence[Settlement]) -> Path:
    """Put these settlements on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid4().hex}.outcomes"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        for each in settlements:
            words = [
                each.task_id,
                each.holder.number,
                each.holder.worker_id,
                each.move.name,
                each.outcome,
                each.result,
                each.error,
                each.wait,
            ]
            file.write(orjson.dumps(words) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    _sync(folder)
    return path


def files(folder: Path) -> list[Path]:
    """The spooled files of this folder that nobody has taken."""
    return sorted(folder.glob("*.outcomes")) if folder.is_dir() else []


def take(path: Path) -> Path | None:
    """Claim a file against other workers that start at the same time; None if one was faster."""
    taken = path.with_suffix(f".taken-{os.getpid()}")
    try:
        path.rename(taken)
    except FileNotFoundError:
        return None
    return taken


def give_back(taken: Path) -> None:
    """This file could not be replayed: leave it to the next."""
    taken.rename(taken.with_suffix(".outcomes"))


def recover(folder: Path) -> None:
    """Free files whose taker died before it was done."""
    if not folder.is_dir():
        return
    for path in folder.glob("*.taken-*"):
        pid = int(path.suffix.removeprefix(".taken-"))
        if pid == os.getpid() or not Path(f"/proc/{pid}").exists():
            give_back(path)


def load(path: Path) -> Iterator[Settlement]:
    """The settlements of a file."""
    for line in path.read_bytes().splitlines():
        task_id, number, worker_id, move, outcome, result, error, wait = orjson.loads(line)
        yield Settlement(
            task_id=task_id,
            holder=Holder(number, worker_id),
            move=Move[move],
            outcome=Outcome(outcome),
            result=result,
            error=error,
            wait=wait,
        )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
