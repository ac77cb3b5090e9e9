"""The figures the guarantee is to reach, as a run measured them.

How long a recovery takes is measured only where a fault struck alone: the service was calm before,
and nothing else was broken until it was calm again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import dropwhile
from typing import Literal

from chaos.evidence import AttemptRow, Evidence, Strike
from chaos.faults.backlog import DISPATCHED
from chaos.faults.workers import ROLLED
from chaos.ledger import Answered
from chaos.witness import Change
from tasks.lifecycle import FINISHED, Outcome, Status

DEATHS = "chaos.die"  # the kind whose handlers kill themselves
FAILURES = "chaos.fail"  # … that fail because they were told to
ENOUGH, A_MINUTE = 100_000, 10_000  # tasks a run is to see, and a short one
ACCEPTED, LOST, UNEXPECTED = "tasks accepted", "lost", "unexpected"
STUCK, FINAL = "stuck", "tasks that had not exactly one final status"
HORSE = "kill -9 of a horse, until its attempt's end is on record"
WORKER = "kill -9 of a worker, until what it held runs again elsewhere"
POSTGRES = "PostgreSQL restarted, until the first task is settled after it is back"
FLUSHED = "FLUSHALL with 50,000 pending, until all are in Redis again"
BURNT = "attempts lost, crashed or failed by restarts in order"
WITHOUT_REDIS = "a task is accepted while Redis is away"

TOLD = {  # what is counted, or measured from when until when
    ACCEPTED: "answered with a 2xx; a run of ten minutes is to see 100,000.",
    LOST: "accepted, and not finished though everything was mended and had time.",
    UNEXPECTED: "in the table, though its request was refused or never made.",
    STUCK: "not finished in the end, accepted or not.",
    FINAL: "by the trigger, since a client brought it back with a rerun if one did.",
    HORSE: "from `kill -9` of a busy child process until PostgreSQL has *crashed* on record.",
    WORKER: "from `kill -9` of a busy worker until the last of its tasks is *running* again, with"
    " the wait before another attempt (up to a second) and for a turn.",
    POSTGRES: "from the first connection it takes until PostgreSQL has the end of an attempt.",
    FLUSHED: "from FLUSHALL, with workers stopped, until the id of each is in a queue in Redis.",
    ROLLED: "SIGTERM under load, one after the other, each when the one before has registered.",
    BURNT: "of all that began while processes were restarted with SIGTERM.",
    WITHOUT_REDIS: "single submissions while Redis is dead, hung or cut off.",
}

Unit = Literal["", "s"]


@dataclass(frozen=True)
class Figure:
    """One figure: a count, or seconds; the slowest of as many as there were."""

    name: str
    value: float
    bound: float
    unit: Unit = ""
    at: Literal["most", "least"] = "most"
    of: int = 0  # how many were measured
    means: str = ""  # what the bound is made of

    @property
    def holds(self) -> bool:
        return self.value <= self.bound if self.at == "most" else self.value >= self.bound

    @property
    def allowed(self) -> str:
        sign = "≤" if self.at == "most" else "≥"
        return (
            f"{sign} {self.means}" if self.means else f"{sign} {self.bound:,g} {self.unit}".strip()
        )

    @property
    def measured(self) -> str:
        value = f"{self.value:.2f} s" if self.unit else f"{self.value:,.0f}"
        return f"{value} (slowest of {self.of:,})" if self.of > 1 else value


def measured(evidence: Evidence) -> Iterator[Figure]:
    """Those that this run says something about."""
    yield from counted(evidence)
    if not evidence.keeps_attempts:
        return
    alone = [strike for strike in evidence.strikes if strike.alone]
    lease = evidence.lease
    for name, times, bound, means in (
        (HORSE, list(deaths_noticed(evidence, alone)), 1.0, ""),
        (WORKER, list(taken_over(evidence, alone)), lease + 2, "lease + 2 s"),
        (POSTGRES, list(settled_after_restart(evidence, alone)), 3.0, ""),
        (WITHOUT_REDIS, accepted_without_redis(evidence), 0.3, ""),
    ):
        if times:
            yield Figure(name, max(times), bound, "s", of=len(times), means=means)
    if any("FLUSHALL with" in strike.name for strike in evidence.strikes):
        yield Figure(FLUSHED, evidence.measured.get(DISPATCHED, float("inf")), 10.0, "s")
    if ROLLED in evidence.measured:
        yield Figure(ROLLED, evidence.measured[ROLLED], 100, at="least")
    if gentle := [strike for strike in evidence.strikes if strike.gentle]:
        yield Figure(BURNT, sum(len(burnt_by(evidence, strike)) for strike in gentle), 0)


def counted(evidence: Evidence) -> Iterator[Figure]:
    """What was promised, in tasks."""
    rows = evidence.rows
    finished = {row.id for row in rows.values() if row.finished}
    acknowledged = evidence.ledger.acknowledged()
    enough = min(ENOUGH, round(A_MINUTE * evidence.minutes))
    yield Figure(ACCEPTED, len(acknowledged), enough if evidence.keeps_attempts else 0, at="least")
    yield Figure(LOST, len(acknowledged - finished), 0)
    yield Figure(UNEXPECTED, len(unexpected(evidence)), 0)
    yield Figure(STUCK, len(rows) - len(finished), 0)
    if evidence.keeps_attempts:
        yield Figure(FINAL, sum(finals_of(evidence.history.get(id, [])) != 1 for id in rows), 0)


def unexpected(evidence: Evidence) -> list[str]:
    """Tasks of requests that were refused, or that nobody made."""
    asked = evidence.ledger.labelled()
    welcome = {label for label, each in asked.items() if each.means is not Answered.REFUSED}
    return [row.id for row in evidence.rows.values() if row.label and row.label not in welcome]


def finals_of(changes: Iterable[Change]) -> int:
    """How often a task became finished since its last rerun."""
    finals = 0
    for change in changes:
        if change.was in FINISHED:
            finals = 0
        finals += change.is_now in FINISHED
    return finals


def deaths_noticed(evidence: Evidence, strikes: Iterable[Strike]) -> Iterator[float]:
    """Seconds from the kill of a busy horse in one of these to the end of its attempt on record."""
    times = [(strike.began, strike.over) for strike in strikes]
    killed = {pid: at for pid, at in evidence.kills if any(a <= at <= b for a, b in times)}
    for id, executions in evidence.executions.items():
        for execution in executions:
            at = killed.get(execution.pid)
            if at is None or execution.ended is not None or execution.began > at:
                continue
            for attempt in evidence.attempts.get(id, []):
                crashed = attempt.outcome == Outcome.CRASHED
                if attempt.number == execution.attempt.number and crashed:
                    yield attempt.ended_at - at


def taken_over(evidence: Evidence, strikes: Iterable[Strike]) -> Iterator[float]:
    """For each task a killed worker held: seconds from the kill until it is started again.

    So the wait before another attempt and for a turn in its queue are included.
    """
    kills = [strike for strike in strikes if strike.name.startswith("workers: kill -9")]
    for id, attempts in evidence.attempts.items():
        for attempt in attempts:
            for strike in kills:
                held = attempt.started_at <= strike.since <= attempt.ended_at
                if held and attempt.outcome == Outcome.LOST:
                    yield started_again(evidence.history[id], attempt.number) - strike.since


def started_again(changes: Iterable[Change], number: int) -> float:
    """When a task whose attempt of that number was lost was started again, or was finished."""
    later = dropwhile(
        lambda change: change.was != Status.RUNNING or change.attempt != number, changes
    )
    over = (change.at for change in later if change.is_now in {Status.RUNNING, *FINISHED})
    return next(over, float("inf"))


def settled_after_restart(evidence: Evidence, strikes: Iterable[Strike]) -> Iterator[float]:
    """Seconds from PostgreSQL's first answer after a restart until a task is settled."""
    settled = [
        change.at
        for changes in evidence.history.values()
        for change in changes
        if change.was == Status.RUNNING
    ]
    for strike in strikes:
        if strike.name.startswith("postgres: restart"):
            yield (
                min((at for at in settled if at > strike.since), default=float("inf"))
                - strike.since
            )


def burnt_by(evidence: Evidence, strike: Strike) -> list[tuple[str, AttemptRow]]:
    """Attempts that ran while something was restarted in order, and came to a bad end."""
    burnt = [
        (id, attempt)
        for id, attempts in evidence.attempts.items()
        for attempt in attempts
        if strike.began - 0.5 <= attempt.started_at <= strike.over - 0.5
        and is_burnt(evidence.rows[id].name, attempt)
    ]
    deaths = list(of_kind(evidence, DEATHS)) if burnt else []
    return [(id, attempt) for id, attempt in burnt if not died_for_another(attempt, deaths)]


def is_burnt(kind: str, attempt: AttemptRow) -> bool:
    if attempt.outcome == Outcome.FAILED:
        return kind != FAILURES
    return kind != DEATHS and attempt.outcome in (Outcome.LOST, Outcome.CRASHED)


def of_kind(evidence: Evidence, kind: str) -> Iterator[AttemptRow]:
    for id, attempts in evidence.attempts.items():
        if evidence.rows[id].name == kind:
            yield from attempts


def died_for_another(attempt: AttemptRow, deaths: Iterable[AttemptRow]) -> bool:
    """Whether its horse was taken down by a handler beside it, on another thread or before it."""
    return any(
        abs(death.ended_at - attempt.ended_at) < 0.5 and death.worker_id == attempt.worker_id
        for death in deaths
    )


def accepted_without_redis(evidence: Evidence) -> list[float]:
    """Seconds that single submissions took while Redis was dead or hung."""
    times = [
        (strike.began + 0.5, strike.over - 0.5)
        for strike in evidence.strikes
        if strike.name.startswith(("redis: hung", "redis: kill", "network: web → Redis"))
        and not strike.name.startswith("network: web → Redis is slow")
    ]
    return [
        answer.seconds
        for act, answer in evidence.ledger.answers
        if act == "submit" and answer.status == 201
        if any(began < answer.at and answer.at + answer.seconds < over for began, over in times)
    ]
