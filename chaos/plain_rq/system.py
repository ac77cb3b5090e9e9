"""The plain service as a system under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaos.crew import Role
from chaos.faults.fault import Fault
from chaos.plain_rq import record
from chaos.stage import Stage
from chaos.system import Row, System


class PlainRQ(System):
    """Flask, stock RQ and a table."""

    title = "Plain RQ"
    keeps_attempts = False
    lease = 3.0  # it has none; faults that go by it last as long as for the service
    rate = 0.15  # it forks for each task

    def prepare(self, stage: Stage) -> None:
        stage.query(record.CREATE)

    def commands(self) -> Sequence[tuple[Role, str, Mapping[str, str]]]:
        settings: Mapping[str, str] = {}
        worker = (Role.WORKER, "python -m chaos.plain_rq.worker", settings)
        return [(Role.WEB, "python -m chaos.plain_rq.web", settings), worker, worker]

    def faults(self, faults: Sequence[Fault]) -> list[Fault]:
        return [each for each in faults if not each.service_only and "scheduler" not in str(each)]

    def rows(self, stage: Stage) -> Mapping[str, Row]:
        rows = stage.query(
            "SELECT id::text, name, status, label, '', attempts, result,"
            " finished_at IS NOT NULL FROM tasks"
        )
        return {id: Row(id, *facts) for id, *facts in rows}

    def unfinished(self, stage: Stage) -> int:
        ((count,),) = stage.query("SELECT count(*) FROM tasks WHERE finished_at IS NULL")
        return int(count)
