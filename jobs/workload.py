"""What a worker has in hand: claims on their way to a horse, outcomes on their way back."""

import logging
import time
from collections.abc import Container, Iterable
from operator import itemgetter
from uuid import UUID

from jobs import settling
from jobs.assignment import Assignment, Progress, Report
from jobs.mirror import Mirror
from jobs.mount import Assigned
from jobs.pace import Pace
from jobs.settling import Done, Outbox
from jobs.stable import Death, Stable
from tasks import catalog, store
from tasks.broker import rq_queue
from tasks.database import sessions
from tasks.lifecycle import Move, Outcome
from tasks.store import Settlement, Started

log = logging.getLogger(__name__)

UNPLACED = 0.1  # seconds a claimed task may wait without a horse before it is given back


class Workload:
    """Everything one worker has claimed and not yet put on record."""

    def __init__(self, worker_id: str, stable: Stable, max_crashes: int) -> None:
        self.worker_id = worker_id
        self.outbox = Outbox()
        self.succeeded = self.failed = 0  # attempts on record since they were last counted
        self._stable, self._max_crashes = stable, max_crashes
        self._pace = Pace()
        self._claims: dict[
            str, Started
        ] = {}  # by task id, until the attempt's end is in the outbox
        self._hand: list[tuple[float, Assignment]] = []  # not with a horse; since when (monotonic)
        self._progress: dict[str, Progress] = {}  # not yet stored
        self._giving_back = False  # nothing new is begun any more

    def __len__(self) -> int:
        return len(self._claims) + len(self.outbox)

    def places(self) -> tuple[int, int]:
        """How many ordinary and how many waiting tasks could begin soon."""
        if self._hand or self._giving_back:
            return 0, 0
        return self._stable.places(self._pace.ahead())

    def is_enough(self) -> bool:
        """Whether the horses have enough to do for some moments."""
        return not self._hand and self._stable.are_well_fed(self._pace.ahead())

    def is_ready(self) -> bool:
        """Whether the next task could begin at once, whatever its kind, and would be alone."""
        return not (self._hand or self._giving_back or self.gathers()) and self._stable.has_idle()

    def gathers(self) -> bool:
        """Whether a moment's wait makes larger sets: there is enough to do, or much to be heard."""
        return not self._hand and (self._pace.is_brisk(time.monotonic()) or self.is_enough())

    # -- down: from claim to horse ------------------------------------------------------------

    def accept(self, claims: Iterable[Started]) -> None:
        """Take these claims in hand and give them to horses."""
        now = time.monotonic()
        for claim in claims:
            assignment = Assignment.of(claim, self.worker_id)
            known = self._claims.get(assignment.task_id)
            if known is not None and known.attempt >= claim.attempt:
                continue  # a doubled job of a task that runs here
            self._claims[assignment.task_id] = claim
            self._hand.append((now, assignment))
        self.place()

    def place(self) -> None:
        """Give what is in hand to horses that can begin it soon."""
        hand, self._hand = self._hand, []
        ahead = self._pace.ahead()
        # Waiting ones first: a horse that runs an ordinary handler reads nothing meanwhile.
        ordered = [(not _is_io(each[1]), *each) for each in hand]
        for ordinary, since, assignment in sorted(ordered, key=itemgetter(0)):
            io = not ordinary
            if self._giving_back or not self._stable.assign(assignment, io=io, ahead=ahead):
                self._hand.append((since, assignment))

    def take_back_stuck(self) -> None:
        """Free what waits behind a long handler; give back what no horse here can begin."""
        now = time.monotonic()
        self._hand += [(now, each.assignment) for each in self._stable.take_back_stuck()]
        if self._hand:
            self.place()
        unplaced = [each for since, each in self._hand if now - since > UNPLACED]
        self._hand = [each for each in self._hand if now - each[0] <= UNPLACED]
        self._release(unplaced)

    def give_back(self) -> None:
        """Begin nothing new: give back at once whatever no handler has begun."""
        self._giving_back = True
        unread = [each.assignment for each in self._stable.take_back_all()]
        self._release([*unread, *(each for _, each in self._hand)])
        self._hand = []

    def _release(self, assignments: Iterable[Assignment]) -> None:
        for assignment in assignments:
            claim = self._claims.pop(assignment.task_id)
            self.outbox.add(settling.released(assignment), _queue(claim))

    # -- up: from horse to outbox -------------------------------------------------------------

    def hear(self, speaking: Container[int] | None = None) -> bool:
        """Take in what the horses say; whether an attempt has ended.

        `speaking` are the file descriptors of those that have something to say; None: ask all.
        """
        in_hand = len(self._claims)
        for horse in self._stable.horses.values():
            if speaking is None or horse.channel.fileno() in speaking:
                for word in horse.hear():
                    self._on_word(word)
        if self._hand:
            self.place()
        return len(self._claims) < in_hand

    def _on_word(self, word: tuple[Assigned, Report] | Progress) -> None:
        if isinstance(word, Progress):
            self._progress[word.task_id] = word
        else:
            self._on_report(*word)

    def _on_report(self, assigned: Assigned, report: Report) -> None:
        self._pace.note(report.seconds, waiting=assigned.io)
        self._progress.pop(report.task_id, None)
        claim = self._claims.pop(report.task_id)
        if report.move is Move.CANCEL:
            return  # the client's cancel has written everything
        settlement = settling.settlement_of(report, self.worker_id)
        self.outbox.add(settlement, _queue(claim), assigned.mirrored, settled=report.settled)

    def bury(self, death: Death) -> None:
        """A horse has died: what it had not read goes to others, what it ran has crashed."""
        if not death.expected:
            log.warning(
                "horse %d is gone: %s; peak memory %s MB",
                death.pid,
                death.cause,
                death.peak_megabytes,
            )
        for word in death.last_words:
            self._on_word(word)
        now = time.monotonic()
        self._hand += [(now, each.assignment) for each in death.unread]
        for each in death.began:
            claim = self._claims.pop(each.assignment.task_id)
            self._progress.pop(each.assignment.task_id, None)
            if each.stopped_at is None or death.culprit != each.assignment.task_id:
                self.outbox.add(self._verdict(each, claim, death), _queue(claim), each.mirrored)
        self.place()

    def _verdict(self, each: Assigned, claim: Started, death: Death) -> Settlement:
        assignment = each.assignment
        ran = time.monotonic() - each.since
        if death.culprit is None and not self._giving_back:
            return settling.crashed(
                assignment,
                Outcome.CRASHED,
                f"The handler's process {death.cause} after {ran:.1f} s,"
                f" with a peak of {death.peak_megabytes} MB of memory.",
                may_try_again=claim.crashes + 1 < self._max_crashes,
                retry=claim.crashes + 1,
            )
        if death.culprit == assignment.task_id:
            return settling.crashed(
                assignment,
                Outcome.TIMED_OUT,
                f"The attempt ran longer than its timeout of {assignment.timeout:g} s and did not"
                f" react; its process was killed after {ran:.1f} s.",
                may_try_again=assignment.failures < assignment.max_retries,
                retry=assignment.failures + 1,
            )
        return settling.released(assignment)  # cut short by us, for no fault of its own

    # -- on record ----------------------------------------------------------------------------

    def count(self, done: Iterable[Done]) -> None:
        """These are on record now."""
        for each in done:
            self.succeeded += each.settlement.outcome is Outcome.SUCCEEDED
            self.failed += each.settlement.error is not None

    def store_progress(self) -> None:
        """Put what handlers last said of their progress on record."""
        if self._progress:
            said, self._progress = self._progress, {}
            with sessions.begin() as session:
                store.report_progress(
                    session,
                    [(UUID(each.task_id), each.attempt, each.said) for each in said.values()],
                    self.worker_id,
                )

    def stop_what_was_taken_away(self) -> None:
        """Stop handlers whose attempt was cancelled, or given to somebody else."""
        running = [each.assignment for each in self._stable.running() if each.stopped_at is None]
        if not running:
            return
        with sessions.express("") as session:
            gone = store.no_longer_held(
                session, [(each.task_id, each.attempt) for each in running], self.worker_id
            )
        self._stable.stop(gone)

    def show_started(self, mirror: Mirror) -> None:
        queues = {task_id: _queue(claim) for task_id, claim in self._claims.items()}
        mirror.show_started(self._stable.running(), queues)


def _is_io(assignment: Assignment) -> bool:
    kind = catalog.kinds().get(assignment.name)
    return kind is not None and kind.io


def _queue(claim: Started) -> str:
    return rq_queue(claim.queue_name, claim.priority)
