"""Schedules that tick through all of it; each of their ticks has to fire once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Any

from chaos.client import Client
from chaos.ledger import Answered
from chaos.stage import Stage

PATH = "/api/v1/schedules/"
PATIENCE = 20.0  # seconds in which a schedule can surely be made or paused
TASK = {"name": "chaos.nothing", "payload": {}}
MISSED = {"missed": "run_all", "catchup_window": 86_400}
SCHEDULES: dict[str, tuple[dict[str, Any], int]] = {  # name → what it is, and its period in seconds
    "every second": ({"every": 1}, 1),
    "every third second by cron": ({"cron": "*/3 * * * * *", "timezone": "Asia/Kathmandu"}, 3),
    "every other second with jitter": ({"every": 2, "jitter": 1}, 2),
}


@dataclass(frozen=True)
class Ticking:
    """One schedule after a run; times in seconds of the epoch."""

    name: str
    period: int
    made: float
    decided_until: float
    fired: Sequence[float]  # ticks
    with_task: Sequence[float]  # … that have a task

    @property
    def expected(self) -> list[float]:
        """Its ticks: the multiples of its period."""
        first, last = floor(self.made / self.period) + 1, floor(self.decided_until / self.period)
        return [float(number * self.period) for number in range(first, last + 1)]


def start(client: Client) -> None:
    for name, (rule, _) in SCHEDULES.items():
        insist(client, PATH, {"name": name, "task": TASK, **rule, **MISSED})


def stop(client: Client, stage: Stage) -> None:
    """Pause all of them; what was to fire before has been decided then."""
    for (id,) in stage.query("SELECT id::text FROM schedules"):
        insist(client, f"{PATH}{id}/pause", {"reason": "the run is over"})


def insist(client: Client, path: str, body: object) -> None:
    until = time.monotonic() + PATIENCE
    while (answer := client.ask("POST", path, body)).means is not Answered.OK:
        if time.monotonic() > until or answer.means is Answered.REFUSED:
            raise RuntimeError(f"{path} was answered with {answer.status}: {answer.text}")
        time.sleep(0.2)


def read(stage: Stage) -> list[Ticking]:
    """What became of every schedule."""
    found = []
    rows = stage.query(
        "SELECT id, name, extract(epoch FROM created_at)::float8,"
        " extract(epoch FROM decided_until)::float8 FROM schedules"
    )
    for id, name, made, decided_until in rows:
        fires = stage.query(
            "SELECT extract(epoch FROM scheduled_for)::float8, tasks.id IS NOT NULL"
            " FROM schedule_fires AS fire LEFT JOIN tasks USING (schedule_id, scheduled_for)"
            " WHERE fire.schedule_id = %s AND outcome = 'fired'"
            " AND (tasks.id IS NULL OR tasks.id = fire.task_id) ORDER BY scheduled_for",
            id,
        )
        found.append(
            Ticking(
                name,
                SCHEDULES[name][1],
                made,
                decided_until,
                [tick for tick, _ in fires],
                [tick for tick, there in fires if there],
            )
        )
    return found
