"""What becomes of each tick of a schedule that is due: it fires, or is skipped for a reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum, auto
from uuid import UUID

from tasks import recurrence
from tasks.recurrence import INSTANT, Rule, Tick

LATE = timedelta(seconds=15)  # later than this a tick counts as missed, not as a little late
LIMIT = 1000  # ticks of one schedule decided at a time; more are decided in the next rounds


class Missed(StrEnum):
    """What becomes of ticks that nobody fired in time, within the catch-up window."""

    SKIP = auto()  # none of them runs
    RUN_ONCE = auto()  # the latest runs for all of them
    RUN_ALL = auto()  # each of them runs


class Overlap(StrEnum):
    """What becomes of a tick while an earlier task of the same schedule is not finished."""

    ALLOW = auto()  # it runs beside it
    SKIP = auto()  # it does not run
    QUEUE_ONE = auto()  # it runs after it; one may wait, further ones do not run
    CANCEL_RUNNING = auto()  # it runs, and the earlier task is cancelled


class FireOutcome(StrEnum):
    """What became of one tick."""

    FIRED = auto()  # it has a task
    WAITING = auto()  # it gets its task when the earlier one is finished
    SKIPPED_OVERLAP = auto()
    SKIPPED_MISSED = auto()
    SKIPPED_GAP = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one tick, and why it does not fire."""

    at: datetime
    outcome: FireOutcome = FireOutcome.FIRED
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How a schedule stands: which ticks are decided, and what its policies are."""

    id: UUID
    rule: Rule
    decided_until: datetime  # every tick up to here has been decided
    jitter: timedelta = timedelta()
    missed: Missed = Missed.RUN_ONCE
    catchup_window: timedelta = timedelta(days=1)

    def due(self, tick: Tick) -> datetime:
        return tick.at + recurrence.jitter(self.id, tick.at, self.jitter)


@dataclass(slots=True)
class Decision:
    """The verdicts of one round, and how the schedule stands after it."""

    decided_until: datetime
    next_fire_at: datetime | None = None  # None: it never fires again
    verdicts: list[Verdict] = field(default_factory=list)


def next_fire_at(standing: Standing) -> datetime | None:
    """When the first tick that is not decided is due."""
    tick = recurrence.next_after(standing.rule, standing.decided_until)
    return None if tick is None else standing.due(tick)


def decide(standing: Standing, now: datetime, limit: int = LIMIT) -> Decision:
    """Decide what is due by `now`, but for overlaps, which depend on tasks."""
    window = now - standing.catchup_window
    decision = Decision(standing.decided_until)
    if standing.decided_until < window:
        decision.verdicts = _out_of_reach(standing, window)
        decision.decided_until = window - INSTANT
    due: list[Tick] = []
    for tick in recurrence.ticks(standing.rule, decision.decided_until):
        due_at = standing.due(tick)
        if due_at > now or (len(due) >= limit and not tick.skipped):
            if tick.skipped:
                continue  # recorded together with the tick that comes after it
            decision.next_fire_at = due_at
            break
        due.append(tick)
    if due:
        decision.decided_until = due[-1].at
    more_to_come = decision.next_fire_at is not None and decision.next_fire_at <= now
    decision.verdicts += _catch_up(standing, due, now, more_to_come)
    return decision


def _out_of_reach(standing: Standing, window: datetime) -> list[Verdict]:
    """One verdict for all ticks older than the catch-up window: there may be very many."""
    first = next(recurrence.between(standing.rule, standing.decided_until + INSTANT, window), None)
    if first is None:
        return []
    reason = (
        f"missed, as every tick before {window:%Y-%m-%dT%H:%M:%SZ}: "
        f"the catch-up window is {standing.catchup_window.total_seconds():g} seconds"
    )
    return [Verdict(first.at, FireOutcome.SKIPPED_MISSED, reason)]


def _catch_up(
    standing: Standing, due: Sequence[Tick], now: datetime, more_to_come: bool
) -> Iterable[Verdict]:
    latest = None if more_to_come else next((tick for tick in due[::-1] if not tick.skipped), None)
    for tick in due:
        lateness = now - standing.due(tick)
        if tick.skipped:
            wanted = tick.wanted or tick.at
            reason = f"{wanted:%H:%M:%S} does not exist on this day in {standing.rule.timezone}"
            yield Verdict(tick.at, FireOutcome.SKIPPED_GAP, reason)
        elif lateness <= LATE or standing.missed is Missed.RUN_ALL:
            yield Verdict(tick.at)
        elif standing.missed is Missed.SKIP:
            reason = f"missed by {_in_words(lateness)}; missed ticks are skipped"
            yield Verdict(tick.at, FireOutcome.SKIPPED_MISSED, reason)
        elif tick is latest:
            yield Verdict(tick.at)
        else:
            reason = f"missed by {_in_words(lateness)}; a later tick runs for all that were missed"
            yield Verdict(tick.at, FireOutcome.SKIPPED_MISSED, reason)


def _in_words(lateness: timedelta) -> str:
    return f"{lateness.total_seconds():.0f} seconds"


def without_overlap(
    verdicts: Sequence[Verdict], overlap: Overlap, busy: UUID | None, waiting: bool
) -> list[Verdict]:
    """The same verdicts, so that no tick fires against the overlap policy.

    `busy` is an unfinished task of the schedule; `waiting` tells that a tick already waits for it.
    """
    if overlap is Overlap.ALLOW:
        return list(verdicts)
    firing = [verdict for verdict in verdicts if verdict.outcome is FireOutcome.FIRED]
    last = firing[-1] if firing else None
    occupied: str | None = None
    if busy or waiting:
        occupied = f"task {busy} has not finished" if busy else "a tick waits for its turn"
    decided = []
    for verdict in verdicts:
        if verdict.outcome is not FireOutcome.FIRED:
            decided.append(verdict)
        elif overlap is Overlap.CANCEL_RUNNING:
            replaced = Verdict(verdict.at, FireOutcome.SKIPPED_OVERLAP, "a later tick replaces it")
            decided.append(verdict if verdict is last else replaced)
        elif occupied is None:
            decided.append(verdict)
            occupied = f"the tick of {verdict.at:%Y-%m-%dT%H:%M:%SZ} has just fired"
        elif overlap is Overlap.QUEUE_ONE and not waiting:
            decided.append(Verdict(verdict.at, FireOutcome.WAITING, occupied))
            waiting = True
        else:
            reason = f"{occupied}, and another tick already waits" if waiting else occupied
            decided.append(Verdict(verdict.at, FireOutcome.SKIPPED_OVERLAP, reason))
    return decided
