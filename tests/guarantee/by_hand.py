"""A worker and a scheduler without processes: all their real steps, each taken when a test says so.

What is left out is what decides *when*: loops, horses, signals. What is done, and how it is written
to PostgreSQL and Redis, is the service's own code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

from jobs import settling, verdict
from jobs.assignment import Assignment
from jobs.bell import Bell
from jobs.intake import Intake
from jobs.mirror import Mirror
from jobs.settling import Outbox, settlement_of
from jobs.worker import unique_name
from scheduler.attention import Attention
from scheduler.dispatch_due import dispatch_due
from scheduler.expire import expire
from scheduler.forget_idempotency_keys import forget_idempotency_keys
from scheduler.remove_leftovers import Scan, remove_leftovers
from scheduler.requeue_lost import Reading, requeue_lost
from scheduler.requeue_overtaken import Trail, requeue_overtaken
from scheduler.requeue_popped import Watch, requeue_popped
from scheduler.rescue_silent import rescue_orphans, rescue_silent
from scheduler.tally import tally
from scheduler.tidy_registries import Shown, tidy_registries
from tasks import agenda, broker, catalog, failpoints, leases, store
from tasks.broker import Broker
from tasks.database import sessions
from tasks.errors import GiveUp, RetryLater, Snooze, TimedOut
from tasks.lifecycle import Outcome
from tasks.scripts import WAKE
from tasks.store import Settlement, Started
from tests.guarantee import deeds
from tests.guarantee.model import KEY_HOURS, LEASE, MAX_CRASHES, WAIT, Claim, How

KIND = "obey"
SHOWN_FOR = 60  # seconds that a finished job stays visible
BATCH = 1000
YOUNG = timedelta(milliseconds=1)  # PostgreSQL has been up for longer than that

ERRORS: dict[How, BaseException] = {
    How.RAISE: ValueError("as ordered"),
    How.TIME_OUT: TimedOut(),
    How.GIVE_UP: GiveUp("as ordered"),
    How.RETRY_LATER: RetryLater(WAIT),
    How.SNOOZE: Snooze(WAIT),
}


class Died(Exception):
    """The process is no more."""


@contextmanager
def mishaps(step: str, moment: str, deed: str) -> Iterator[None]:
    """Let this go wrong when that step comes to that moment: its process dies, or hears nothing."""

    def reached(here: str, when: str) -> None:
        if (here, when) == (step, moment):
            failpoints.reached = None
            if deed == "dies":
                raise Died
            deeds.lose_answer(step)

    failpoints.reached = reached if step else None
    try:
        yield
    finally:
        failpoints.reached = None


class Hand:
    """One worker: what `jobs.worker.Worker` is, but for its loop and its horses."""

    def __init__(self, carrier: Broker) -> None:
        self._broker = carrier
        self._bell = Bell(carrier.redis)
        self.begin()

    def begin(self) -> None:
        """Begin a life, with nothing in hand."""
        self.name = unique_name()
        self.intake = Intake(self._broker, self.name, (), weighted=False)
        self.listen()
        self.outbox = Outbox()
        self.said: list[tuple[Claim, How]] = []  # what is in the outbox
        self.held: dict[UUID, Started] = {}
        self._mirror = Mirror(self._broker, self.name, SHOWN_FOR)
        with sessions.begin() as session:
            leases.register(
                session,
                self.name,
                host="localhost",
                pid=1,
                queues=[],
                kinds=[KIND],
                concurrency=3,
                lease=timedelta(seconds=LEASE),
            )

    def listen(self) -> None:
        """Hang the bell, perhaps anew: what was said and not heard before is not heard any more."""
        self._bell.hang(self.name)
        self._bell.rung()  # the confirmation
        self.intake.recall()

    def hear(self) -> None:
        """Hear what has been handed over until now."""
        mark, queues = f"{uuid4()}", set[str]()
        self._broker.redis.publish(WAKE, mark)
        while mark not in queues:
            queues, handed = self._bell.rung()
            self.intake.hand(handed)

    def die(self) -> None:
        self._bell.take_down()

    def claim_of(self, started: Started) -> Claim:
        return Claim(UUID(started.id), started.attempt, self.name)

    def renew(self) -> bool:
        """Whether it still has a life."""
        with sessions.begin() as session:
            return leases.renew(session, self.name, timedelta(seconds=LEASE))

    def begin_again(self) -> None:
        """It was presumed dead: it drops everything, and lives on under another name."""
        self.intake.close()
        self.begin()

    def take(self, many: int) -> list[Claim]:
        """Pop and start up to that many tasks."""
        self.hear()
        self.intake.learn_queues()
        started, _ = self.intake.take(many, many, is_ready=True)
        for each in started:
            known = self.held.get(UUID(each.id))
            if known is None or known.attempt < each.attempt:
                self.held[UUID(each.id)] = each
        return [self.claim_of(each) for each in started]

    def end(self, task_id: UUID, how: How) -> None:
        """A handler has ended."""
        started = self.held.pop(task_id)
        queue = broker.rq_queue(started.queue_name, started.priority)
        self.outbox.add(word(started, self.name, how), queue)
        self.said.append((self.claim_of(started), how))

    def settle(self) -> None:
        done = self.outbox.settle()
        self.said.clear()
        self._mirror.show_ended(done)

    def look_what_was_taken_away(self) -> set[UUID]:
        """Stop what it holds no longer; return which tasks that were."""
        held = [(str(id), each.attempt) for id, each in self.held.items()]
        with sessions.express("") as session:
            gone = {UUID(id) for id in store.no_longer_held(session, held, self.name)}
        for id in gone:
            del self.held[id]
        return gone

    def stop(self) -> list[tuple[Claim, How]]:
        """Give everything back, and leave in order; return what it said of what it held."""
        for id in list(self.held):
            self.end(id, How.RELEASE)
        said = list(self.said)
        self.settle()
        with sessions.begin() as session:
            leases.leave(session, self.name)
        self.intake.close()
        self.die()
        return said


def word(started: Started, worker: str, how: How) -> Settlement:
    """What a worker says of an attempt's end."""
    assignment = Assignment.of(started, worker)
    if how is How.RELEASE:
        return settling.released(assignment)
    if how is How.CRASH:
        crashes = started.crashes + 1
        return settling.crashed(
            assignment,
            Outcome.CRASHED,
            "as ordered",
            may_try_again=crashes < MAX_CRASHES,
            retry=crashes,
        )
    if how is How.SUCCEED:
        result = f"{started.attempt}".encode()
        return settlement_of(verdict.succeeded(assignment, result, 0.1), worker)
    report = verdict.raised(assignment, catalog.kind(KIND), ERRORS[how], 0.1)
    return settlement_of(report, worker)


class Timekeeper:
    """One scheduler: its duties, and what it remembers between them."""

    def __init__(self, carrier: Broker) -> None:
        self.reading, self.watch, self.trail = Reading(), Watch(), Trail()
        scan, shown, self._attention = Scan(), Shown(), Attention(LEASE)
        # The lease that `rescue_silent` is given says only how long PostgreSQL must have been up.
        self.duties: Mapping[str, Callable[[], int]] = {
            "dispatch_due": lambda: dispatch_due(BATCH),
            "expire": lambda: expire(BATCH),
            "rescue_silent": lambda: rescue_silent(YOUNG, MAX_CRASHES, self._attention),
            "rescue_orphans": lambda: rescue_orphans(MAX_CRASHES),
            "tally": tally,
            "forget_idempotency_keys": lambda: forget_idempotency_keys(KEY_HOURS, BATCH),
            "requeue_lost": lambda: requeue_lost(carrier, self.reading),
            "requeue_popped": lambda: requeue_popped(carrier, self.watch),
            "requeue_overtaken": lambda: requeue_overtaken(carrier, self.trail, self.reading),
            "remove_leftovers": lambda: remove_leftovers(carrier, scan),
            "tidy_registries": lambda: tidy_registries(carrier, shown),
        }

    def look(self) -> Mapping[str, float]:
        """What the agenda says: seconds until something is due."""
        with sessions.begin() as session:
            found = agenda.look(session)
        self._attention.note(found.now)
        return found.due
