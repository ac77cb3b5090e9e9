"""The worker: an RQ worker whose tasks are rows, claimed and settled in sets.

One turn of its loop hears the horses, puts what ended on record, tends what runs, and takes as much
new work as can begin soon. With little to do nothing waits for a set to fill; under load sets form.
"""

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

from redis.exceptions import RedisError

from jobs.bell import Bell
from jobs.beside import Beside
from jobs.horse import HorseTerms
from jobs.intake import Intake, Taken
from jobs.mirror import Mirror
from jobs.mount import Mount
from jobs.outage import Outage
from jobs.recorder import Recorded, record
from jobs.rq_worker import RQWorker
from jobs.stable import Stable
from jobs.workload import Workload
from tasks import catalog, leases
from tasks.broker import Broker
from tasks.database import sessions
from tasks.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

TEND_EVERY = 0.2  # seconds between looks at what runs longer than that
MOMENT = 0.02  # … after work was taken, in which housekeeping would be in its way
SOON = 0.2  # … by which housekeeping may be put off for that
LOOK_ROUND_EVERY = 1.0  # … at what changes rarely: suspension, queues, counts
GATHER = 0.003  # … that everybody is left alone under load, so that larger sets form
IDLE = 1.0  # longest sleep: a lost wake-up costs no more


@dataclass(frozen=True, kw_only=True)
class WorkerTerms:
    """What one worker is to do; given by the entry point."""

    concurrency: int = 2
    only_queues: Sequence[str] = ()
    weighted: bool = False
    lease: float = 15.0  # seconds
    grace: float = 25.0  # seconds
    max_tasks: int = 0
    max_memory: int = 0  # megabytes
    max_crashes: int = 3
    spool: Path = Path(".data/spool")
    keep_finished: int = 600  # seconds
    horse: HorseTerms = field(default_factory=HorseTerms)


def unique_name() -> str:
    """A worker's name: where it runs, and which of its lives this is."""
    host = "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname())
    return f"{host}-{os.getpid()}-{uuid4().hex[:8]}"


class Worker(RQWorker):
    """Visible to RQ's tools; decides nothing by what RQ thinks."""

    def __init__(self, broker: Broker, terms: WorkerTerms) -> None:
        super().__init__(broker.redis, unique_name(), lease=terms.lease)
        self._broker, self._terms = broker, terms
        self._stable = Stable(
            terms.concurrency, terms.horse, max_tasks=terms.max_tasks, max_memory=terms.max_memory
        )
        self._stable.on_birth, self._stable.on_death = self._watch, self._unwatch
        self._poll = select.poll()
        self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._bell = Bell(broker.redis)
        self._bell_descriptor: int | None = None
        self._recording = Beside[Recorded]("recording", self._on_recorded)
        self._taking = Beside[Taken]("taking", self._wake)
        self._database, self._redis = Outage("PostgreSQL"), Outage("Redis")
        self._stop_asked_at: float | None = None  # monotonic
        self._impatient = False  # asked twice: do not wait for what runs
        self._bereaved = False  # a horse has died
        self._is_withdrawn = False  # nothing more is handed to us
        self._begin_life()

    def _begin_life(self) -> None:
        """Start over as a new incarnation, with nothing in hand."""
        self.be_called(unique_name())
        terms = self._terms
        self._intake = Intake(self._broker, self.name, terms.only_queues, weighted=terms.weighted)
        self._work = Workload(self.name, self._stable, terms.max_crashes)
        self._mirror = Mirror(self._broker, self.name, terms.keep_finished)
        self._registered = False
        self._succeeded = self._failed = 0  # attempts of this life, for RQ's tools
        self._hungry = True  # there may be something to pop
        self._renewed = self._tended = self._looked = self._took = 0.0  # monotonic

    # -- the loop -----------------------------------------------------------------------------

    def work(self, *_: Any, **__: Any) -> bool:
        """Work until told to stop; return when nothing is left in hand."""
        self._listen_to_signals()
        self._stable.fill()
        log.info("worker %s serves with %d horses", self.name, self._terms.concurrency)
        try:
            while not self._finished():
                self._turn()
        finally:
            self._stable.kill_all()
            self._rest()
        self._say_goodbye()
        return True

    def _turn(self) -> None:
        speaking: set[int] | None = self._sleep()
        if self._work.gathers():
            time.sleep(GATHER)
            speaking = None  # whoever has begun to meanwhile as well
        now = time.monotonic()
        ended = self._work.hear(speaking)
        self._hungry = self._hungry or ended
        if self._bereaved:
            self._bereaved = False
            for death in self._stable.reap():
                self._work.bury(death)
        self._record(now)
        if self._stop_asked_at is not None:
            self._wind_down(now)
        else:
            self._replace_horses()
            self._take_work(now)
        self._stable.kill_overdue()
        self._keep_house(now)

    def _keep_house(self, now: float) -> None:
        """Do what is done from time to time."""
        if self._database.over(now) and now >= self._put_off(self._renewed + self._renew_every()):
            with self._database:
                self._renew(now)
        if now >= self._put_off(self._tended + TEND_EVERY):
            self._tended = now
            self._tend(now)

    def _put_off(self, due: float) -> float:
        """When housekeeping that is due then is done: what was just taken may soon be over."""
        return max(due, min(self._took + MOMENT, due + SOON)) if len(self._work) else due

    def _renew_every(self) -> float:
        third = self._terms.lease / 3
        return min(LOOK_ROUND_EVERY, third) if self._work.succeeded + self._work.failed else third

    def _sleep(self) -> set[int]:
        """Wait for a word of a horse, of Redis or of the system, or until something is due.

        Return the descriptors of whoever speaks.
        """
        now = time.monotonic()
        renewal = max(self._put_off(self._renewed + self._terms.lease / 3), self._database.until)
        due = [now + IDLE, self._stable.next_deadline(), renewal]
        if len(self._work):
            due.append(self._put_off(self._tended + TEND_EVERY))
        if len(self._work.outbox) and self._recording.is_idle:
            due.append(self._database.until)
        if self._taking.is_idle and self._takes(*self._work.places()):
            due.append(max(self._database.until, self._redis.until))
        speaking = {each for each, _ in self._poll.poll(max(0.0, min(due) - now) * 1000)}
        if self._wakeup[0] in speaking:
            os.read(self._wakeup[0], 4096)
        if self._bell_descriptor in speaking:
            self._answer_bell()
        return speaking

    def _record(self, now: float) -> None:
        """Put what has ended on record: beside this loop where it comes in sets, else here."""
        if self._recording.is_done:
            self._learn_what_is_on_record()
        if not (len(self._work.outbox) and self._recording.is_idle and self._database.over(now)):
            return
        mirror = self._mirror if self._redis.over(now) else None
        if self._work.gathers():
            self._recording.begin(partial(record, self._work.outbox, mirror))
        else:
            with self._database:
                self._take_note(record(self._work.outbox, mirror))

    def _on_recorded(self) -> None:
        """End the loop's sleep if there is more to record, or an end to come to; on any thread."""
        if len(self._work.outbox) or self._stop_asked_at is not None:
            self._wake()

    def _wake(self) -> None:
        """End the loop's sleep; on any thread."""
        with suppress(BlockingIOError):  # it is full: that wakes as well
            os.write(self._wakeup[1], b"\0")

    def _learn_what_is_on_record(self) -> None:
        with self._database:
            if (recorded := self._recording.result()) is not None:
                self._take_note(recorded)

    def _take_note(self, recorded: Recorded) -> None:
        self._work.count(recorded.done)
        if recorded.shown:
            with self._redis:
                if recorded.trouble is not None:
                    raise recorded.trouble

    def _replace_horses(self) -> None:
        """Fork as many horses as are missing, while no other thread runs."""
        if self._stable.is_short():
            self._rest()
            self._stable.fill()

    def _rest(self) -> None:
        """Let the other threads go, once they have done what they are at."""
        self._taking.rest()
        self._recording.rest()

    def _tend(self, now: float) -> None:
        """Look after what has been running for a while."""
        self._work.take_back_stuck()
        self._stable.retire_worn()
        if self._database.over(now):
            with self._database:
                self._work.store_progress()
                self._work.stop_what_was_taken_away()
        if self._redis.over(now):
            with self._redis:
                if self._taking.is_idle:
                    self._intake.tidy()
                self._work.show_started(self._mirror)
                if now - self._looked >= LOOK_ROUND_EVERY:
                    self._looked = now
                    self._look_round()
        if self._redis.until > now and self._bell_descriptor is not None:
            self._take_down_bell()

    def _take_work(self, now: float) -> None:
        """Take what can begin soon: beside this loop where it comes in sets, else here."""
        if self._taking.is_done:
            self._accept(self._taking.result, now)
        if not self._taking.is_idle or self._work.is_enough():
            return
        places = self._work.places()
        if not (self._takes(*places) and self._database.over(now) and self._redis.over(now)):
            return
        look, is_ready = self._may_take(), self._work.is_ready()
        take = partial(self._intake.take, *places, look=look, is_ready=is_ready)
        self._hungry = False  # until something is pushed, or there was more
        if self._work.gathers():
            self._taking.begin(take)
        else:
            self._accept(take, now)

    def _accept(self, take: Callable[[], Taken | None], now: float) -> None:
        """Give what was taken to the horses."""
        rung, self._hungry = self._hungry, True  # so it is again if nothing could be taken
        with self._database, self._redis:
            taken = take()
            if taken is None:
                return
            self._hungry = rung or taken.may_be_more
            self._work.accept(taken.claims)
            if taken.claims:
                self._took = now
            if self._intake.lease_in_doubt:
                self._intake.lease_in_doubt = False
                self._renewed = 0.0

    def _takes(self, ordinary: int, waiting: int) -> bool:
        """Whether there is something to take with so many places free, as far as is known."""
        return self._intake.undecided or (self._may_take() and ordinary + waiting > 0)

    def _may_take(self) -> bool:
        """Whether there may be something to pop, and it may be popped."""
        stopping = self._stop_asked_at is not None
        return self._hungry and self._registered and not self.is_suspended and not stopping

    # -- life ---------------------------------------------------------------------------------

    def _renew(self, now: float) -> None:
        """Keep the lease; without a life, begin one. Raises `DatabaseUnavailable`."""
        lease = timedelta(seconds=self._terms.lease)
        if not self._registered:
            with sessions.begin("register") as session:
                leases.register(
                    session,
                    self.name,
                    host=self.hostname or "",
                    pid=os.getpid(),
                    queues=self._terms.only_queues,
                    kinds=sorted(catalog.kinds()),
                    concurrency=self._terms.concurrency,
                    lease=lease,
                )
            self._registered, self._renewed = True, now
            return
        succeeded, failed = self._work.succeeded, self._work.failed
        with sessions.begin() as session:
            leases.forget_disk(session)
            alive = leases.renew(
                session,
                self.name,
                lease,
                stopping=self._stop_asked_at is not None,
                succeeded=succeeded,
                failed=failed,
            )
        self._work.succeeded -= succeeded
        self._work.failed -= failed
        self._succeeded += succeeded
        self._failed += failed
        self._renewed = now
        if not alive:
            self._die_and_begin_again()

    def _die_and_begin_again(self) -> None:
        """We were presumed dead and replaced: drop everything, and live on under a new name."""
        log.error("worker %s was presumed dead; it starts over", self.name)
        self._rest()
        self._learn_what_is_on_record()
        with self._database, self._redis:
            self._taking.result()  # what was claimed by the dead is not ours
        with self._redis:
            self._intake.close()
        self._take_down_bell()  # it hangs under the old name
        self._stable.kill_all()
        while self._stable.horses:
            self._stable.reap()
            time.sleep(0.01)  # a killed process takes a moment to go
        self._begin_life()
        self._stable.fill()

    def _look_round(self) -> None:
        """Hang the bell, learn the queues, be seen by RQ's tools. Raises redis-py's errors."""
        if self._bell_descriptor is None:
            self._bell.hang(self.name)
            self._bell_descriptor = self._bell.descriptor
            if self._bell_descriptor is not None:
                self._poll.register(self._bell_descriptor, select.POLLIN)
            self._intake.recall()
            self._hungry = True  # what was pushed meanwhile rang no bell
        if self._intake.learn_queues():
            self._hungry = True
        self.present(
            self._intake.queues,
            is_busy=len(self._work) > 0,
            succeeded=self._succeeded,
            failed=self._failed,
        )
        if self.is_suspended:
            self._intake.withdraw()
        else:
            self._hungry = True  # a lost wake-up costs no more than this look round

    def _answer_bell(self) -> None:
        with self._redis:
            heard = self._bell.rung()
            self._intake.hand(heard.handed)
            self._hungry = self._hungry or bool(heard.queues)
            if not heard.queues <= set(self._intake.queues):
                self._looked = self._tended = 0.0  # a queue we do not know yet
        if self._redis.until > time.monotonic():
            self._take_down_bell()
        if self._bell.told_to_stop and self._stop_asked_at is None:
            self._stop_asked_at = time.monotonic()

    def _take_down_bell(self) -> None:
        if self._bell_descriptor is not None:
            self._poll.unregister(self._bell_descriptor)
            self._bell_descriptor = None
        self._bell.take_down()

    def _watch(self, horse: Mount) -> None:
        self._poll.register(horse.channel.fileno(), select.POLLIN)

    def _unwatch(self, horse: Mount) -> None:
        self._poll.unregister(horse.channel.fileno())

    # -- the end ------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        """Signals only set a flag and wake the loop."""
        self._poll.register(self._wakeup[0], select.POLLIN)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_stop_signal)
        signal.signal(signal.SIGINT, self._on_stop_signal)
        signal.signal(signal.SIGCHLD, self._on_death_signal)

    def _on_stop_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._stop_asked_at is None:
            self._stop_asked_at = time.monotonic()
        else:
            self._impatient = True

    def _on_death_signal(self, signum: int, frame: FrameType | None) -> None:
        self._bereaved = True

    def _wind_down(self, now: float) -> None:
        """Give back what has not begun; after the grace period, cut short what still runs."""
        if not self._is_withdrawn and self._redis.over(now):
            self._withdraw()
        self._take_work(now)  # what was popped and is not decided yet, and nothing else
        self._work.give_back()
        if self._grace_is_over(now):
            self._stable.kill_all()

    def _withdraw(self) -> None:
        """Be handed nothing more, and hear what has been."""
        with self._redis:
            self._intake.withdraw()
            self._is_withdrawn = True
        if self._bell_descriptor in {each for each, _ in self._poll.poll(0)}:
            self._answer_bell()

    def _grace_is_over(self, now: float) -> bool:
        asked = self._stop_asked_at
        return asked is not None and (self._impatient or now - asked >= self._terms.grace)

    def _finished(self) -> bool:
        if self._stop_asked_at is None or self._stable.busy():
            return False
        if not len(self._work.outbox) and not self._intake.undecided and self._taking.is_idle:
            return True
        return self._grace_is_over(time.monotonic())

    def _say_goodbye(self) -> None:
        """Leave nothing behind: outcomes go to the disk if PostgreSQL is still away."""
        if len(self._work.outbox):
            self._work.outbox.spool(self._terms.spool)
        else:
            try:
                with sessions.begin() as session:
                    leases.leave(session, self.name)
            except DatabaseUnavailable:
                log.warning("could not sign off; the lease will run out")
        try:
            self._intake.close()
            self._take_down_bell()
            self.register_death()
        except RedisError as error:
            log.warning("could not sign off at Redis: %s", error)
        log.info("worker %s has stopped", self.name)
