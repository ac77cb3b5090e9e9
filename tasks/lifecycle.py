"""The life of a task: its statuses, and the only moves between them.

Three forces move a task: a client asks, a worker works, the clock ticks.
The rest of the repository carries out what this table allows.
"""

from enum import Enum, StrEnum, auto, unique


class Status(StrEnum):
    SCHEDULED = auto()  # waiting for its time: a first run or a retry
    PENDING = auto()  # ready, waiting for a worker
    RUNNING = auto()  # a worker holds it
    SUCCEEDED = auto()  # its handler returned
    FAILED = auto()  # it has no attempts left
    CANCELLED = auto()  # nobody wants it any more


FINISHED = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})


class Priority(StrEnum):
    """How urgent a task is; the order of the members is the order of service."""

    CRITICAL = auto()
    HIGH = auto()
    NORMAL = auto()
    LOW = auto()


class Force(StrEnum):
    CLIENT = auto()  # somebody asks, over HTTP or in Python
    WORKER = auto()  # the worker that holds the attempt
    CLOCK = auto()  # the scheduler process


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = auto()  # the handler returned
    FAILED = auto()  # the handler raised
    TIMED_OUT = auto()  # it ran longer than the task's timeout
    CRASHED = auto()  # its horse died: signal, segfault, out of memory, os._exit
    LOST = auto()  # its worker fell silent for longer than its lease
    CANCELLED = auto()  # a client cancelled the task meanwhile
    RELEASED = auto()  # given back unfinished: a shutdown, or the handler's Snooze


@unique
class Move(Enum):
    """A permitted change of status: who makes it, from where, to where, and why."""

    # fmt: off
    DISPATCH = Force.CLOCK,  {Status.SCHEDULED}, Status.PENDING,   "its time has come"
    START    = Force.WORKER, {Status.PENDING},   Status.RUNNING,   "a worker claims it"
    SUCCEED  = Force.WORKER, {Status.RUNNING},   Status.SUCCEEDED, "its handler returned"
    RETRY    = Force.WORKER, {Status.RUNNING},   Status.SCHEDULED, "the attempt failed; there will be another"
    FAIL     = Force.WORKER, {Status.RUNNING},   Status.FAILED,    "the attempt failed; it was the last"
    RELEASE  = Force.WORKER, {Status.RUNNING},   Status.PENDING,   "its worker is shutting down; not counted"
    SNOOZE   = Force.WORKER, {Status.RUNNING},   Status.SCHEDULED, "its handler asked for later; not counted"
    RESCUE   = Force.CLOCK,  {Status.RUNNING},   Status.SCHEDULED, "its worker fell silent"
    GIVE_UP  = Force.CLOCK,  {Status.RUNNING},   Status.FAILED,    "its worker fell silent once too often"
    EXPIRE   = Force.CLOCK,  {Status.SCHEDULED, Status.PENDING}, Status.CANCELLED, "too late to be of use"
    CANCEL   = Force.CLIENT, {Status.SCHEDULED, Status.PENDING, Status.RUNNING}, Status.CANCELLED, "nobody wants it"
    RERUN    = Force.CLIENT, {Status.FAILED, Status.CANCELLED}, Status.PENDING, "with a fresh allowance of retries"
    # fmt: on

    def __init__(self, by: Force, sources: set[Status], target: Status, reason: str) -> None:
        self.by, self.sources, self.target, self.reason = by, frozenset(sources), target, reason
