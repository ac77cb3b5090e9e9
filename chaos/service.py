"""The service itself, its processes started as the Procfile says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config

from chaos import timetable, witness
from chaos.client import Client
from chaos.crew import Role
from chaos.stage import Stage
from chaos.system import Row, System
from dev.processes import procfile
from settings import database_url

ROOT = Path(__file__).resolve().parent.parent
LEASE = 3.0  # seconds; short, so that a run sees many
SETTINGS = {
    "TASK_MODULES": "chaos.kinds",
    "AUTH": "off",
    "LOG_FORMAT": "text",
    "WORKER_LEASE": f"{LEASE}",
    "WORKER_CONCURRENCY": "2",
    "SHUTDOWN_GRACE": "5",
    "FINISHED_JOBS_TTL": "5",
}


class Service(System):
    """This repository."""

    title = "Distributed Task Queue"
    lease = LEASE

    def __init__(self, workers: int = 2, schedulers: int = 2) -> None:
        self._workers, self._schedulers = workers, schedulers

    def prepare(self, stage: Stage) -> None:
        alembic = Config()
        alembic.set_main_option("script_location", str(ROOT / "migrations"))
        alembic.set_main_option("sqlalchemy.url", database_url(stage.database_url))
        command.upgrade(alembic, "head")
        witness.install(stage)

    def commands(self) -> Sequence[tuple[Role, str, Mapping[str, str]]]:
        written = procfile()
        return [
            (Role.WEB, written["web"], SETTINGS),
            *[(Role.WORKER, written["worker"], SETTINGS)] * self._workers,
            *[(Role.SCHEDULER, written["scheduler"], SETTINGS)] * self._schedulers,
        ]

    def begin(self, client: Client) -> None:
        timetable.start(client)

    def end(self, client: Client, stage: Stage) -> None:
        timetable.stop(client, stage)

    def rows(self, stage: Stage) -> Mapping[str, Row]:
        rows = stage.query(
            "SELECT id::text, name, status, labels->>'ask', queue_name || ':' || priority,"
            " attempt, result, finished_at IS NOT NULL FROM tasks"
        )
        return {id: Row(id, *facts) for id, *facts in rows}

    def unfinished(self, stage: Stage) -> int:
        ((count,),) = stage.query("SELECT count(*) FROM tasks WHERE finished_at IS NULL")
        return int(count)
