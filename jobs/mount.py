"""The worker's side of one horse: what it was given, and what it says of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from jobs.assignment import Assignment, Progress, Report, read
from jobs.channel import Channel
from jobs.pace import Ahead

STUCK = 0.1  # seconds a handler has run when nothing may wait behind it any more


@dataclass(slots=True)
class Assigned:
    """An assignment that a horse was given and has not reported on."""

    assignment: Assignment
    io: bool
    since: float  # monotonic; when it was handed over, or came to be the next to run
    mirrored: str = ""  # its member of RQ's started registry
    stopped_at: float | None = None  # when it was told to stop


@dataclass
class Mount:
    """The worker's side of one horse."""

    pid: int
    channel: Channel
    orders: Channel
    unread: Channel  # the horse's own end: what the worker reads here the horse never sees
    born: float
    assigned: dict[str, Assigned] = field(default_factory=dict)  # in the order handed over
    ordinary: int = 0  # of those assigned
    waiting: int = 0  # … on threads
    done: int = 0
    retiring: bool = False
    culprit: str | None = None  # the task it was killed for

    def give(self, each: Assigned) -> None:
        self.assigned[each.assignment.task_id] = each
        self._count(each, 1)

    def take(self, task_id: str) -> Assigned | None:
        each = self.assigned.pop(task_id, None)
        if each is not None:
            self._count(each, -1)
        return each

    def _count(self, each: Assigned, change: int) -> None:
        if each.io:
            self.waiting += change
        else:
            self.ordinary += change

    def first(self) -> Assigned | None:
        """The ordinary assignment that runs, or is the next to."""
        if self.ordinary:
            for each in self.assigned.values():
                if not each.io:
                    return each
        return None

    def room(self, ahead: Ahead) -> int:
        """How many ordinary tasks it may have: none behind a handler that takes long."""
        first = self.first()
        stuck = first is not None and time.monotonic() - first.since > STUCK
        return 1 if stuck else 1 + ahead.ordinary

    def running(self) -> Iterator[Assigned]:
        """What it is presumably running: the first ordinary assignment, and all waiting ones."""
        ordinary = False
        for each in self.assigned.values():
            if each.io:
                yield each
            elif not ordinary:
                ordinary = True
                yield each

    def hear(self) -> Iterator[tuple[Assigned, Report] | Progress]:
        """What it has to say now: reports with what they report on, and progress."""
        goes_on = False
        for message in self.channel.drain():
            word = read(message)
            if isinstance(word, Progress):
                yield word
                continue
            assigned = self.take(word.task_id)
            if assigned is None:
                continue
            self.done += 1
            goes_on = goes_on or not assigned.io
            yield assigned, word
            if not self.assigned:  # it has nothing more to say of what it was given
                break
        if goes_on and (following := self.first()) is not None:
            following.since = time.monotonic()

    def take_back(self) -> list[Assigned]:
        """Take back what it has not read yet."""
        taken = []
        for message in self.unread.drain():
            task_id = Assignment.decode(message).task_id
            if (assigned := self.take(task_id)) is not None:
                taken.append(assigned)
        return taken
