"""A worker's horses: fork them, feed them, hear them, stop and replace them."""

import ctypes
import gc
import logging
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from jobs.assignment import Assignment, Progress, Report
from jobs.channel import Channel, pair
from jobs.horse import WAITING, HorseTerms, be_a_horse
from jobs.mount import STUCK, Assigned, Mount
from jobs.pace import Ahead
from tasks.database import begin_anew_after_fork

log = logging.getLogger(__name__)

MANY = 20  # tasks ahead of a horse that are worth feeding in sets
HARD_LIMIT = 0.8  # seconds a handler may outlive its timeout before its horse is killed
CANCEL_LIMIT = 0.5  # … or its cancellation
CHANNEL, ORDERS, FIRST_FREE = 3, 4, 5  # file descriptors of a horse
SPARE = 200  # … and where they are parked while those are made free
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Death:
    """The end of a horse."""

    pid: int
    cause: str  # in words: the signal, or the exit code
    peak_megabytes: float
    last_words: list["tuple[Assigned, Report] | Progress"]  # said, and not yet heard
    began: list[Assigned]  # what it had read and not reported
    unread: list[Assigned]  # what it had not read: certainly not begun
    culprit: str | None  # the task it was killed for, by its own worker
    expected: bool  # it was told to retire


class Stable:
    """All horses of one worker."""

    def __init__(self, size: int, terms: HorseTerms, *, max_tasks: int, max_memory: int) -> None:
        self._size, self._terms = size, terms
        self._max_tasks, self._max_memory = max_tasks, max_memory  # 0: no limit; megabytes
        self.horses: dict[int, Mount] = {}  # by pid
        self.on_birth: Callable[[Mount], None] = lambda _: None
        self.on_death: Callable[[Mount], None] = lambda _: None

    def is_short(self) -> bool:
        """Whether horses are missing."""
        return self._missing() > 0

    def _missing(self) -> int:
        return self._size - sum(not each.retiring for each in self.horses.values())

    def fill(self) -> None:
        """Fork as many horses as are missing."""
        for _ in range(self._missing()):
            mount = self._fork()
            self.horses[mount.pid] = mount
            self.on_birth(mount)

    def _fork(self) -> Mount:
        ours, theirs = pair()
        orders, orders_theirs = pair()
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _become_child(parent, theirs, orders_theirs)
            be_a_horse(Channel.of(CHANNEL), Channel.of(ORDERS), self._terms)
        orders_theirs.close()
        return Mount(pid, ours, orders, theirs, time.monotonic())

    # -- work ---------------------------------------------------------------------------------

    def places(self, ahead: Ahead) -> tuple[int, int]:
        """How many ordinary and how many waiting tasks the horses can begin soon.

        `ahead` says how many may queue behind those that run. A horse that runs an ordinary
        handler reads no further assignment meanwhile, so it takes no waiting ones.
        """
        ordinary = waiting = 0
        for horse in self.horses.values():
            if not horse.retiring:
                busy = horse.ordinary
                ordinary += max(0, horse.room(ahead) - busy)
                waiting += 0 if busy else max(0, self._threads(ahead) - horse.waiting)
        return ordinary, waiting

    def has_idle(self) -> bool:
        """Whether a horse has nothing at all to do."""
        return any(not (horse.retiring or horse.assigned) for horse in self.horses.values())

    def are_well_fed(self, ahead: Ahead) -> bool:
        """Whether every horse has enough short tasks for some moments."""
        if ahead.ordinary < MANY:
            return False
        return all(horse.ordinary * 2 > ahead.ordinary for horse in self.horses.values())

    def assign(self, assignment: Assignment, *, io: bool, ahead: Ahead) -> bool:
        """Hand an assignment to the horse that can begin it first; False if none can soon."""
        best: Mount | None = None
        least = 0
        for horse in self.horses.values():
            if horse.retiring:
                continue
            busy = horse.ordinary
            if io:
                load = horse.waiting
                fits = not busy and load < self._threads(ahead)
            else:
                load = busy * 1000 + horse.waiting
                fits = busy < horse.room(ahead)
            if fits and (best is None or load < least):
                best, least = horse, load
        if best is None:
            return False
        if not best.channel.send(assignment.encode(), WAITING if io else b"o", wait=False):
            return False
        best.give(Assigned(assignment, io, time.monotonic()))
        return True

    def _threads(self, ahead: Ahead) -> int:
        """How many waiting tasks one horse may have at a time."""
        return self._terms.threads + int(self._terms.threads * ahead.waiting)

    def take_back_all(self) -> list[Assigned]:
        return [each for horse in self.horses.values() for each in horse.take_back()]

    def take_back_stuck(self) -> list[Assigned]:
        """Take back what waits behind a handler that takes long."""
        now = time.monotonic()
        taken: list[Assigned] = []
        for horse in self.horses.values():
            first = next(horse.running(), None)
            if first and len(horse.assigned) > 1 and now - first.since > STUCK:
                taken += horse.take_back()
        return taken

    def running(self) -> Iterator[Assigned]:
        for horse in self.horses.values():
            yield from horse.running()

    def busy(self) -> int:
        """How many assignments are not reported on yet."""
        return sum(len(horse.assigned) for horse in self.horses.values())

    # -- stopping -----------------------------------------------------------------------------

    def stop(self, task_ids: Iterable[str]) -> None:
        """Interrupt these tasks' handlers; those that do not react are killed with their horse."""
        wanted = set(task_ids)
        for horse in self.horses.values():
            ordered = False
            for task_id in wanted & horse.assigned.keys():
                each = horse.assigned[task_id]
                if each.stopped_at is None:
                    each.stopped_at = time.monotonic()
                    horse.orders.send(orjson.dumps([task_id, each.assignment.attempt]))
                    ordered = True
            if ordered:
                _kill(horse.pid, signal.SIGUSR1)

    def kill_overdue(self) -> None:
        """Kill the horses of handlers that outlived their timeout or their cancellation."""
        now = time.monotonic()
        for horse in self.horses.values():
            for each in horse.running():
                late = now > each.since + each.assignment.timeout + HARD_LIMIT
                deaf = each.stopped_at is not None and now > each.stopped_at + CANCEL_LIMIT
                if (late or deaf) and horse.culprit is None:
                    horse.culprit = each.assignment.task_id
                    log.warning("killing horse %d: its handler does not stop", horse.pid)
                    _kill(horse.pid, signal.SIGKILL)

    def next_deadline(self) -> float:
        """When `kill_overdue` has something to do, in monotonic seconds."""
        soonest = float("inf")
        for each in self.running():
            soonest = min(soonest, each.since + each.assignment.timeout + HARD_LIMIT)
            if each.stopped_at is not None:
                soonest = min(soonest, each.stopped_at + CANCEL_LIMIT)
        return soonest

    def kill_all(self) -> None:
        for horse in self.horses.values():
            _kill(horse.pid, signal.SIGKILL)

    def retire_worn(self) -> None:
        """Let horses go that have run enough tasks or grown too large; others take their place."""
        for horse in self.horses.values():
            worn = self._max_tasks and horse.done >= self._max_tasks
            if horse.retiring or not (worn or self._too_large(horse)):
                continue
            horse.retiring = True
            horse.channel.finish()

    def retire_all(self) -> None:
        for horse in self.horses.values():
            horse.retiring = True
            horse.channel.finish()

    def _too_large(self, horse: Mount) -> bool:
        if not self._max_memory:
            return False
        try:
            pages = int(Path(f"/proc/{horse.pid}/statm").read_text().split()[1])
        except OSError:
            return False
        return pages * resource.getpagesize() > self._max_memory * 1024 * 1024

    def reap(self) -> list[Death]:
        """The horses that have died since, with what they leave behind."""
        deaths = []
        for pid in list(self.horses):
            try:
                reaped, status, usage = os.wait4(pid, os.WNOHANG)
            except ChildProcessError:
                reaped, status, usage = pid, 0, None
            if reaped:
                deaths.append(self._bury(self.horses.pop(pid), status, usage))
        return deaths

    def _bury(self, horse: Mount, status: int, usage: Any) -> Death:
        self.on_death(horse)
        last_words = list(horse.hear())
        unread = horse.take_back()
        death = Death(
            pid=horse.pid,
            cause=_cause(status),
            peak_megabytes=round(usage.ru_maxrss / 1024, 1) if usage else 0.0,
            last_words=last_words,
            began=list(horse.assigned.values()),
            unread=unread,
            culprit=horse.culprit,
            expected=horse.retiring and not horse.assigned,
        )
        for channel in (horse.channel, horse.orders, horse.unread):
            channel.close()
        return death


def _become_child(parent: int, channel: Channel, orders: Channel) -> None:
    """Keep nothing of the worker but the two channels: no connection crosses the fork."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # a terminal's Ctrl-C is for the worker to answer
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the signal was arranged
            os._exit(1)
    gc.freeze()  # what was inherited is never collected here: its descriptors are not ours
    os.dup2(channel.fileno(), SPARE)
    os.dup2(orders.fileno(), SPARE + 1)
    os.dup2(SPARE, CHANNEL)
    os.dup2(SPARE + 1, ORDERS)
    os.closerange(FIRST_FREE, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    begin_anew_after_fork()
    random.seed()


def _cause(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"was killed by signal {number} ({signal.Signals(number).name})"
    return f"exited with code {os.WEXITSTATUS(status)}"


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        log.debug("horse %d is gone already", pid)
