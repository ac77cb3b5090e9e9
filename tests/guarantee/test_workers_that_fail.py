"""Whatever happens to a worker, at any step: its tasks end once, and every execution is on record.

All cases run side by side, each on a queue of its own, because most of their time is waiting for a
lease to run out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import select

from dev.servers import Postgres, Redis
from tasks import actions, broker, catalog, database
from tasks.actions import Submission
from tasks.lifecycle import FINISHED, Outcome, Status
from tasks.models import Attempt, Task, Worker
from tests.conftest import ROOT, sqlalchemy_url
from tests.eventually import eventually
from tests.guarantee.deeds import Deed
from tests.guarantee.processes import LEASE, WARM, Failing, Servers, be_a_worker

AT_ONCE = 6
IN_A_HORSE = {Deed.KILL, Deed.PAUSE, Deed.RAISE}  # it has no connection to lose

Case = tuple[str, str, Deed]
CASES: list[Case] = [
    case
    for case in product(("pop", "start", "run", "settle", "mirror"), ("before", "after"), Deed)
    if case[0] != "run" or case[2] in IN_A_HORSE
]


@dataclass
class Aftermath:
    """What is on record when a case is over."""

    happened: bool = False
    tasks: list[Task] = field(default_factory=list)
    attempts: dict[UUID, list[Attempt]] = field(default_factory=dict)
    executions: dict[UUID, list[int]] = field(default_factory=dict)  # attempt numbers
    trouble: str = ""


@pytest.fixture(scope="module")
def servers(postgres: Postgres, redis_server: Redis) -> Iterator[Servers]:
    """A database and a Redis for all cases together, and a healthy scheduler on them."""
    url = sqlalchemy_url(postgres.create("guarantee"))
    alembic = Config()
    alembic.set_main_option("script_location", str(ROOT / "migrations"))
    alembic.set_main_option("sqlalchemy.url", url)
    command.upgrade(alembic, "head")
    servers = Servers(url, redis_server.url.removesuffix("/0") + "/7")
    catalog.load(["tests.jobs.obedient"])
    with broker.connect(servers.redis_url, patience=5) as redis:
        redis.flushdb()
        database.open(servers.database_url, broker.Broker(redis), connections=10, patience=10)
        yield servers
        database.close()


@pytest.fixture(scope="module")
def aftermaths(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Case, Aftermath]]:
    """Every case, suffered and looked at."""
    environ = os.environ | {
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "WORKER_LEASE": str(LEASE),
        "MAX_CRASHES": "5",
        "TASK_MODULES": "tests.jobs.obedient",
        "PYTHONPATH": str(ROOT),
    }
    folder = tmp_path_factory.mktemp("guarantee")
    log = (folder / "scheduler.log").open("w")
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "scheduler"], cwd=ROOT, env=environ, stdout=log, stderr=log
    )
    with ThreadPoolExecutor(AT_ONCE) as threads:
        suffered = threads.map(lambda case: suffer(case, servers, folder), CASES)
        aftermaths = dict(zip(CASES, suffered, strict=True))
    yield aftermaths
    scheduler.terminate()
    scheduler.wait(15)
    log.close()


def suffer(case: Case, servers: Servers, folder: Path) -> Aftermath:
    """Let a worker fail as the case says, and a healthy one take over."""
    step, moment, deed = case
    queue = f"{step}-{moment}-{deed}"
    place = folder / queue
    place.mkdir()
    mark = place / "it happened"
    aftermath = Aftermath()
    failing = WARM.Process(
        target=be_a_worker, args=(servers, Failing(*case, mark), place / "failing.log", queue)
    )
    healthy = WARM.Process(target=be_a_worker, args=(servers, None, place / "healthy.log", queue))
    try:
        failing.start()
        deeds = ["note", "note", "note", "note and fail once"]
        ids = [
            actions.submit(
                Submission(
                    name="obey",
                    payload={"do": do, "value": str(place / "executions")},
                    queue_name=queue,
                    timeout=1.5,
                    max_retries=5,
                )
            ).id
            for do in deeds
        ]
        eventually(mark.exists, within=30)
        aftermath.happened = True
        healthy.start()
        eventually(lambda: all_finished(ids), within=40)
        if deed is Deed.PAUSE and step != "run":
            eventually(lambda: is_buried(failing.pid or 0), within=20)
            os.kill(failing.pid or 0, signal.SIGCONT)  # the zombie wakes up, and may say its word
            eventually(lambda: "presumed dead" in (place / "failing.log").read_text(), within=20)
    except AssertionError as trouble:
        aftermath.trouble = f"{trouble}; see {place}"
    finally:
        for process in (failing, healthy):
            end(process)
    look(aftermath, ids, place / "executions")
    return aftermath


def all_finished(ids: list[UUID]) -> bool:
    with database.sessions() as session:
        left = select(Task.id).where(Task.id.in_(ids), Task.status.not_in(FINISHED))
        return session.scalar(left.limit(1)) is None


def is_buried(pid: int) -> bool:
    with database.sessions() as session:
        return session.scalar(select(Worker.id).where(Worker.pid == pid)) is None


def end(process: Any) -> None:
    """Let it stop in an orderly way, and see to it that it does."""
    if process.pid is None:
        return
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)
    process.terminate()
    process.join(10)
    if process.is_alive():
        process.kill()
        process.join()


def look(aftermath: Aftermath, ids: list[UUID], executions: Path) -> None:
    with database.sessions() as session:
        aftermath.tasks = list(session.scalars(select(Task).where(Task.id.in_(ids))))
        for attempt in session.scalars(
            select(Attempt).where(Attempt.task_id.in_(ids)).order_by(Attempt.number)
        ):
            aftermath.attempts.setdefault(attempt.task_id, []).append(attempt)
    for line in executions.read_text().splitlines() if executions.exists() else []:
        task_id, number = line.split()
        aftermath.executions.setdefault(UUID(task_id), []).append(int(number))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case))
def test_nothing_is_lost(aftermaths: dict[Case, Aftermath], case: Case) -> None:
    aftermath = aftermaths[case]
    assert aftermath.happened, aftermath.trouble
    assert not aftermath.trouble
    assert len(aftermath.tasks) == 4
    for task in aftermath.tasks:
        attempts, executions = aftermath.attempts[task.id], aftermath.executions[task.id]
        assert task.status is Status.SUCCEEDED
        # every execution is on record, numbered without a gap, and exactly one succeeded
        assert [each.number for each in attempts] == list(range(1, task.attempt + 1))
        assert sum(each.outcome is Outcome.SUCCEEDED for each in attempts) == 1
        assert attempts[-1].outcome is Outcome.SUCCEEDED
        # the result is that of the attempt that settled it
        assert task.result == task.attempt
        assert 1 <= len(executions) <= len(attempts)
        assert len(set(executions)) == len(executions)


@pytest.mark.parametrize("deed", [Deed.CUT_OFF, Deed.LOSE_ANSWER])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["register", "present"])
def test_a_worker_that_was_not_answered_at_its_birth_works(
    servers: Servers, tmp_path: Path, step: str, moment: str, deed: Deed
) -> None:
    queue = f"born-{step}-{moment}-{deed}"
    failing = Failing(step, moment, deed, tmp_path / "it happened")
    worker = WARM.Process(target=be_a_worker, args=(servers, failing, tmp_path / "log", queue))
    worker.start()
    try:
        lasting = {"do": "sleep", "seconds": 1.5}  # until the worker has looked round again
        task = actions.submit(Submission(name="obey", payload=lasting, queue_name=queue))
        eventually(lambda: all_finished([task.id]), within=20)
    finally:
        end(worker)
    assert failing.mark.exists()
    assert "Traceback" not in (tmp_path / "log").read_text()
