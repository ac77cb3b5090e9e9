"""The service itself, its processes started as the Procfile says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg2
from alembic import command
from alembic.config import Config

from chaos import timetable, witness
from chaos.client import Client
from chaos.crew import Crew, Role
from chaos.stage import Stage
from chaos.system import Row, System
from dev.processes import procfile
from settings import Settings, database_url

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {"TASK_MODULES": "chaos.kinds", "AUTH": "off", "LOG_FORMAT": "text"}
HASTY = {  # seconds are short, so that a run sees many of them pass
    "WORKER_LEASE": "3",
    "WORKER_CONCURRENCY": "2",
    "SHUTDOWN_GRACE": "5",
    "FINISHED_JOBS_TTL": "5",
}
CALM = """
SELECT (SELECT array_agg(pid ORDER BY pid) = %s AND bool_and(expires_at > now()) FROM workers)
    AND pg_postmaster_start_time() < now() - make_interval(secs => %s)
    AND NOT EXISTS (
        SELECT FROM tasks WHERE status = 'pending' AND pending_since < now() - interval '1 second'
    )
    AND NOT EXISTS (
        SELECT FROM tasks WHERE status = 'running' AND worker_id NOT IN (SELECT id FROM workers)
    )
    AND NOT EXISTS (
        SELECT FROM tasks JOIN attempts ON task_id = id AND number = attempt
        WHERE status IN ('scheduled', 'pending') AND outcome = 'lost'
    )
"""


class Service(System):
    """This repository."""

    title = "Distributed Task Queue"
    calms_down = True

    def __init__(
        self,
        workers: int = 2,
        schedulers: int = 2,
        settings: Mapping[str, str] = HASTY,
    ) -> None:
        self._workers, self._schedulers = workers, schedulers
        self._settings = {**SETTINGS, **settings}
        self.lease = float(settings.get("WORKER_LEASE", Settings.worker_lease))

    @classmethod
    def with_defaults(cls, workers: int) -> Service:
        """It as people get it."""
        service = cls(workers, settings={})
        service.title = f"{cls.title}, default settings"
        return service

    def prepare(self, stage: Stage) -> None:
        alembic = Config()
        alembic.set_main_option("script_location", str(ROOT / "migrations"))
        alembic.set_main_option("sqlalchemy.url", database_url(stage.database_url))
        command.upgrade(alembic, "head")
        witness.install(stage)

    def commands(self) -> Sequence[tuple[Role, str, Mapping[str, str]]]:
        written = procfile()
        return [
            (Role.WEB, written["web"], self._settings),
            *[(Role.WORKER, written["worker"], self._settings)] * self._workers,
            *[(Role.SCHEDULER, written["scheduler"], self._settings)] * self._schedulers,
        ]

    def begin(self, client: Client) -> None:
        timetable.start(client)

    def end(self, client: Client, stage: Stage) -> None:
        timetable.stop(client, stage)

    def is_calm(self, stage: Stage, crew: Crew) -> bool:
        """All workers are alive, nobody waits for long, and what dead ones held runs again."""
        workers = crew.of(Role.WORKER)
        if not all(worker.running for worker in workers):
            return False
        try:
            pids = sorted(worker.pid for worker in workers)
            ((calm,),) = stage.query(CALM, pids, self.lease)
        except psycopg2.Error:
            return False
        return bool(calm)

    def rows(self, stage: Stage) -> Mapping[str, Row]:
        rows = stage.query(
            "SELECT id::text, name, status, labels->>'ask', queue_name || ':' || priority,"
            " attempt, result, finished_at IS NOT NULL FROM tasks"
        )
        return {id: Row(id, *facts) for id, *facts in rows}

    def waiting(self, stage: Stage) -> int:
        ((count,),) = stage.query("SELECT count(*) FROM tasks WHERE status = 'pending'")
        return int(count)

    def unfinished(self, stage: Stage) -> int:
        ((count,),) = stage.query("SELECT count(*) FROM tasks WHERE finished_at IS NULL")
        return int(count)
