"""Outcomes on their way into PostgreSQL: in sets, fenced, kept until they are on record."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import orjson

from jobs import spool
from jobs.assignment import Assignment, Report
from tasks import store
from tasks.database import note_finished, sessions
from tasks.errors import DatabaseUnavailable, Unstorable
from tasks.lifecycle import Move, Outcome
from tasks.retry import Backoff
from tasks.store import Holder, Settlement

log = logging.getLogger(__name__)

LARGEST = 500  # settlements in one commit
AFTER_CRASH = Backoff()


class Done(NamedTuple):
    """An attempt whose end is on record, by whoever wrote it first."""

    settlement: Settlement
    queue: str
    execution: str  # its member of RQ's started registry


@dataclass(slots=True)
class Held:
    """A settlement on its way."""

    settlement: Settlement
    queue: str
    execution: str
    settled: bool  # its horse has put it on record


def settlement_of(report: Report, worker_id: str) -> Settlement:
    """A horse's report in the store's words."""
    return Settlement(
        task_id=report.task_id,
        holder=Holder(report.attempt, worker_id),
        move=report.move,
        outcome=report.outcome,
        result=report.result.decode() if report.result is not None else None,
        error=orjson.dumps(report.error).decode() if report.error is not None else None,
        wait=report.wait,
    )


def released(assignment: Assignment) -> Settlement:
    """The attempt was not begun, or was cut short by us: pending again, not counted."""
    return Settlement(
        task_id=assignment.task_id,
        holder=Holder(assignment.attempt, assignment.worker_id),
        move=Move.RELEASE,
        outcome=Outcome.RELEASED,
    )


def crashed(
    assignment: Assignment, outcome: Outcome, message: str, *, may_try_again: bool, retry: int
) -> Settlement:
    """The horse died, or was killed for this attempt's timeout."""
    error = {"type": "Crashed" if outcome is Outcome.CRASHED else "TimedOut", "message": message}
    return Settlement(
        task_id=assignment.task_id,
        holder=Holder(assignment.attempt, assignment.worker_id),
        move=Move.RETRY if may_try_again else Move.FAIL,
        outcome=outcome,
        error=orjson.dumps(error | {"traceback": None}).decode(),
        wait=AFTER_CRASH.wait(retry).total_seconds() if may_try_again else None,
    )


class Outbox:
    """The settlements of one worker that are not on record yet.

    One thread may add to it while another settles.
    """

    def __init__(self) -> None:
        self._held: list[Held] = []

    def __len__(self) -> int:
        return len(self._held)

    def add(
        self, settlement: Settlement, queue: str, execution: str = "", *, settled: bool = False
    ) -> None:
        self._held.append(Held(settlement, queue, execution, settled))

    def settle(self) -> list[Done]:
        """Put all that is held on record. Raises `DatabaseUnavailable`, keeping what is not."""
        done: list[Done] = []
        while self._held:
            done += self.settle_some()
        return done

    def settle_some(self) -> list[Done]:
        """Put what has been held longest on record; return what now is, or raise and keep it.

        One that the fence refuses is on record already if an earlier answer was lost; else its
        attempt was taken away, and what became of it here is of no account. Raises
        `DatabaseUnavailable`.
        """
        batch = self._held[:LARGEST]
        done = self._settle(batch)
        del self._held[: len(batch)]
        return done

    def _settle(self, batch: Sequence[Held]) -> list[Done]:
        settlements = [each.settlement for each in batch if not each.settled]
        on_record = [each for each in batch if each.settled]
        try:
            with sessions.express("settle") as session:
                accepted = {each.id for each in store.settle_many(session, settlements)}
                note_finished(session, [each.settlement.task_id for each in on_record])
        except Unstorable:
            if len(batch) > 1:
                return [done for each in batch for done in self._settle([each])]
            return self._settle([_unstorable(batch[0])])
        doubtful = [each for each in settlements if each.task_id not in accepted]
        if doubtful:
            with sessions.begin() as earlier:
                accepted |= store.already_settled(earlier, doubtful)
        for each in settlements:
            if each.task_id not in accepted:
                log.warning(
                    "discarded the outcome %s of attempt %d of task %s: it is no longer ours",
                    each.outcome,
                    each.holder.number,
                    each.task_id,
                )
        return [
            Done(each.settlement, each.queue, each.execution)
            for each in batch
            if each.settled or each.settlement.task_id in accepted
        ]

    def spool(self, folder: Path) -> None:
        """Put what is held on the disk, for the next worker to replay."""
        if self._held:
            path = spool.save(folder, [each.settlement for each in self._held])
            log.warning("spooled %d outcomes to %s", len(self._held), path)
            self._held.clear()


def _unstorable(held: Held) -> Held:
    """PostgreSQL cannot store this outcome: the attempt failed, and another would as well."""
    error = {
        "type": "InvalidResult",
        "message": "PostgreSQL cannot store the handler's result or error.",
        "traceback": None,
    }
    settlement = held.settlement._replace(
        move=Move.FAIL,
        outcome=Outcome.FAILED,
        result=None,
        error=orjson.dumps(error).decode(),
        wait=None,
    )
    return replace(held, settlement=settlement)


def replay(folder: Path) -> int:
    """Put spooled outcomes on record; return how many were accepted."""
    spool.recover(folder)
    accepted = 0
    for path in spool.files(folder):
        taken = spool.take(path)
        if taken is None:
            continue
        outbox = Outbox()
        for settlement in spool.load(taken):
            outbox.add(settlement, queue="")
        try:
            accepted += len(outbox.settle())
        except DatabaseUnavailable:
            spool.give_back(taken)
            raise
        taken.unlink()
    return accepted
