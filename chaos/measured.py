"""The figures the guarantee is to reach, as this run measured them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaos.evidence import AttemptRow, Evidence, Strike
from chaos.figures import Recovery, Why
from tasks.lifecycle import Outcome

DEATHS = "chaos.die"  # the kind whose handlers kill themselves


@dataclass(frozen=True)
class Figure:
    """One figure, in seconds or a count; `limit` is what it may be at most."""

    name: str
    value: float
    limit: float
    unit: str = "s"

    @property
    def reached(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        return f"{self.value:.2f} s" if self.unit == "s" else f"{self.value:.0f}"


def measured(evidence: Evidence, recoveries: list[Recovery]) -> Iterator[Figure]:
    """Those that this run says something about."""
    if noticed := list(deaths_noticed(evidence)):
        name = f"a horse dies, until that is on record (the slowest of {len(noticed)})"
        yield Figure(name, max(noticed), 1.0)
    taken_over = [
        each.longest
        for each in recoveries
        if each.strike.name.startswith("workers: kill")
        and each.slowest
        and each.slowest.why is Why.LOST
    ]
    if taken_over:
        name = f"kill -9 of a worker, until its tasks are taken over (lease {evidence.lease:g} s)"
        yield Figure(name, max(taken_over), evidence.lease + 2)
    back = [each.next_done for each in recoveries if each.strike.name.startswith("postgres: rest")]
    if known := [seconds for seconds in back if seconds is not None]:
        yield Figure("PostgreSQL restarted, until the next task is done", max(known), 3.0)
    for name, seconds in evidence.figures.items():
        yield Figure(name, seconds, 10.0)
    if gentle := [strike for strike in evidence.strikes if strike.gentle]:
        burnt = sum(len(burnt_by(evidence, strike)) for strike in gentle)
        yield Figure("attempts lost or crashed by restarts in order", burnt, 0, "attempts")
    if away := accepted_without_redis(evidence):
        name = f"a task is accepted while Redis is away (the slowest of {len(away)})"
        yield Figure(name, max(away), 0.3)


def deaths_noticed(evidence: Evidence) -> Iterator[float]:
    """Seconds from the kill of a busy horse to the end of its attempt on record."""
    killed = dict(evidence.kills)
    for id, executions in evidence.executions.items():
        for execution in executions:
            at = killed.get(execution.pid)
            if at is None or execution.ended is not None or execution.began > at:
                continue
            for attempt in evidence.attempts.get(id, []):
                crashed = attempt.outcome == Outcome.CRASHED
                if attempt.number == execution.attempt.number and crashed:
                    yield attempt.ended_at - at


def burnt_by(evidence: Evidence, strike: Strike) -> list[tuple[str, AttemptRow]]:
    """Attempts that began while something was restarted in order, and came to a bad end."""
    return [
        (id, attempt)
        for id, attempts in evidence.attempts.items()
        if evidence.rows[id].name != DEATHS
        for attempt in attempts
        if attempt.outcome in (Outcome.LOST, Outcome.CRASHED)
        and strike.began - 0.5 <= attempt.started_at <= strike.over - 0.5
        and not any(died_for_another(evidence, id, attempt))
    ]


def died_for_another(evidence: Evidence, id: str, attempt: AttemptRow) -> Iterator[bool]:
    """Whether its horse was taken down by a handler beside it, on another thread or before it."""
    crashed_at = attempt.ended_at
    for other, attempts in evidence.attempts.items():
        if other != id and evidence.rows[other].name == DEATHS:
            for each in attempts:
                near = abs(each.ended_at - crashed_at) < 0.5
                yield near and each.worker_id == attempt.worker_id


def accepted_without_redis(evidence: Evidence) -> list[float]:
    """Seconds that single submissions took while Redis was dead or hung."""
    times = [
        (strike.began + 0.5, strike.over - 0.5)
        for strike in evidence.strikes
        if strike.name.startswith(("redis: hung", "redis: kill", "network: web → Redis"))
    ]
    return [
        answer.seconds
        for act, answer in evidence.ledger.answers
        if act == "submit" and answer.status == 201
        if any(began < answer.at and answer.at + answer.seconds < over for began, over in times)
    ]
