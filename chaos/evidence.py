"""Everything that is known after a run, gathered in one place for the checker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from chaos import executions, remains, timetable, witness
from chaos.client import Client
from chaos.executions import Execution
from chaos.ledger import Ledger
from chaos.scene import Scene
from chaos.system import Row
from chaos.timetable import Ticking
from chaos.witness import History

if TYPE_CHECKING:
    from chaos.run import Run


@dataclass
class Strike:
    """One fault as it happened."""

    name: str
    began: float  # seconds of the epoch
    over: float = 0.0  # … when all was mended
    gentle: bool = False
    struck: float | None = None  # … from when recovery counts, if before that
    alone: bool = False  # the service was calm before it, and left alone until it was calm again

    @property
    def since(self) -> float:
        return self.over if self.struck is None else self.struck


class AttemptRow(NamedTuple):
    """An attempt as the service recorded it."""

    number: int
    worker_id: str
    started_at: float
    ended_at: float
    outcome: str
    move: str


@dataclass(eq=False)
class Evidence:
    """One run, after its end."""

    title: str
    lease: float
    minutes: float  # of load that were asked for
    began: float
    ended: float
    ledger: Ledger
    strikes: list[Strike]
    rows: Mapping[str, Row]
    executions: Mapping[str, list[Execution]]
    keeps_attempts: bool
    attempts: Mapping[str, list[AttemptRow]] = field(default_factory=dict)
    history: History = field(default_factory=dict)
    effects: Mapping[str, list[int]] = field(default_factory=dict)
    schedules: list[Ticking] = field(default_factory=list)
    metrics: Any = None
    leftovers: list[str] = field(default_factory=list)  # in Redis
    connections: list[str] = field(default_factory=list)  # too many, or too old
    orphans: list[str] = field(default_factory=list)  # processes
    breakdowns: list[str] = field(default_factory=list)  # of processes, by an exception
    kills: list[tuple[int, float]] = field(default_factory=list)  # of horses: pid, when
    measured: dict[str, float] = field(default_factory=dict)  # by faults themselves
    notes: list[str] = field(default_factory=list)


def gather(run: Run, scene: Scene, ledger: Ledger, began: float, client: Client) -> Evidence:
    """Read the record while the service still runs."""
    system, stage = run.system, run.stage
    evidence = Evidence(
        title=system.title,
        lease=system.lease,
        minutes=run.plan.minutes,
        began=began,
        ended=time.time(),
        ledger=ledger,
        strikes=run.strikes,
        rows=system.rows(stage),
        executions=executions.read(stage.executions),
        keeps_attempts=system.keeps_attempts,
        orphans=scene.crew.orphans(),
        kills=scene.kills,
        measured=scene.measured,
        notes=scene.notes,
    )
    if system.keeps_attempts:
        evidence.history = witness.history(stage)
        evidence.effects = witness.effects(stage)
        evidence.schedules = timetable.read(stage)
        evidence.attempts = remains.attempts(stage)
        evidence.metrics = remains.metrics(client)
        evidence.breakdowns = remains.breakdowns(stage.logs)
        evidence.leftovers = remains.in_redis(stage)
        evidence.connections = remains.connections(stage, scene.crew)
    return evidence
