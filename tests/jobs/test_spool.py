"""Outcomes survive a worker that has to go while PostgreSQL is away."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from dev.servers import Postgres
from tasks import database
from tasks.lifecycle import Status
from tests.conftest import ROOT, sqlalchemy_url
from tests.jobs.conftest import Process, begun, finished, look, submit


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    """A server that this test may stop."""
    with Postgres(tmp_path / "postgres", temporary=True) as server:
        yield server


@pytest.fixture
def postgres_url(own_postgres: Postgres) -> str:
    url = sqlalchemy_url(own_postgres.create("tasks"))
    alembic = Config()
    alembic.set_main_option("script_location", str(ROOT / "migrations"))
    alembic.set_main_option("sqlalchemy.url", url)
    command.upgrade(alembic, "head")
    return url


def test_an_outcome_is_spooled_and_replayed(
    own_postgres: Postgres, a_running_worker: Callable[..., Process], tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    worker = a_running_worker(worker_lease=60, shutdown_grace=3, spool_dir=spool)
    task_id = submit("say", seconds=2)
    begun(task_id)

    own_postgres.stop("immediate")
    worker.tell(signal.SIGTERM)

    assert worker.ends(within=20) == 0
    assert [path.suffix for path in spool.iterdir()] == [".outcomes"]
    own_postgres.start()
    database.engine().dispose()  # this test's own connections are from before
    assert look(task_id).status is Status.RUNNING  # nobody knows yet
    again = a_running_worker(worker_lease=60, spool_dir=spool)
    assert finished(task_id).status is Status.SUCCEEDED
    assert "replayed 1 spooled outcomes" in again.says()
    assert not list(spool.iterdir())
