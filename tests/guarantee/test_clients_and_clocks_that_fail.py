"""Whatever happens to a client's or the clock's process, at any step: once, and never half."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from tasks.broker import Broker
from tasks.database import Sessions
from tasks.lifecycle import Outcome, Status
from tasks.models import Attempt, IdempotencyKey, ScheduleFire, Task, Worker
from tests.eventually import eventually
from tests.guarantee.deeds import Deed
from tests.guarantee.processes import WARM, Failing, Servers, be_a_client, be_a_scheduler
from tests.rows import ago
from tests.schedule_rows import a_schedule

Suffer = Callable[..., None]
SUBMITTING = list(product(("submit", "push"), ("before", "after"), Deed))
KEEPING = list(product(("dispatch", "fire", "bury", "rescue", "push"), ("before", "after"), Deed))


@pytest.fixture
def suffer(sessions: Sessions, postgres_url: str, redis_url: str, tmp_path: Path) -> Suffer:
    """Let a process fail as the case says; then let a healthy one do the same."""

    def run(case: tuple[str, str, Deed], target: Callable[..., None], *args: Any) -> None:
        servers, mark = Servers(postgres_url, redis_url), tmp_path / "it happened"
        log = tmp_path / "failing.log"
        failing = WARM.Process(target=target, args=(servers, Failing(*case, mark), log, *args))
        failing.start()
        eventually(lambda: mark.exists() and (case[2] is Deed.PAUSE or not failing.is_alive()))
        if case[2] is Deed.PAUSE:
            eventually(lambda: is_stopped(failing.pid or 0))
        healthy = WARM.Process(target=target, args=(servers, None, log, *args))
        healthy.start()
        healthy.join(15)
        if case[2] is Deed.PAUSE:
            os.kill(failing.pid or 0, signal.SIGCONT)
            failing.join(15)
        assert healthy.exitcode == 0, log.read_text()

    return run


def is_stopped(pid: int) -> bool:
    return "State:\tT" in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize("case", SUBMITTING, ids=lambda case: " ".join(case))
def test_a_repeated_submission_makes_one_task(
    suffer: Suffer, sessions: Sessions, case: tuple[str, str, Deed]
) -> None:
    suffer(case, be_a_client, "default", "succeed")

    with sessions() as session:
        tasks = session.scalars(select(Task.id)).all()
        keys = session.scalars(select(IdempotencyKey)).all()
    assert len(tasks) == 1
    assert [list(key.task_ids) for key in keys] == [[tasks[0]]]


@pytest.mark.parametrize("case", KEEPING, ids=lambda case: " ".join(case))
def test_the_clock_moves_each_task_once(
    suffer: Suffer,
    sessions: Sessions,
    broker: Broker,
    a_task: Callable[..., Task],
    a_worker: Callable[..., Worker],
    case: tuple[str, str, Deed],
) -> None:
    due = a_task(status=Status.SCHEDULED, run_at=ago(seconds=5))
    unpushed = a_task(status=Status.PENDING, pending_since=ago(seconds=60))
    a_worker("silent", lease=-5)
    held = a_task(status=Status.RUNNING, worker_id="silent")
    schedule = a_schedule(task_name="obey", payload={}, missed="run_once", cron="0 * * * *",
                          decided_until=ago(hours=2))  # fmt: skip

    suffer(case, be_a_scheduler)

    with sessions() as session:
        status = {row.id: row.status for row in session.execute(select(Task.id, Task.status))}
        fired = session.scalars(
            select(ScheduleFire.task_id).where(
                ScheduleFire.schedule_id == schedule.id, ScheduleFire.task_id.is_not(None)
            )
        ).all()
        (lost,) = session.scalars(select(Attempt).where(Attempt.task_id == held.id)).all()
        doubled = session.scalar(text("SELECT count(*) FROM tasks WHERE schedule_id IS NOT NULL"))
    assert status[due.id] is Status.PENDING
    assert status[held.id] in {Status.SCHEDULED, Status.PENDING}  # its wait may be over
    assert (lost.outcome, lost.number) == (Outcome.LOST, 1)
    assert len(fired) == doubled == 1
    assert status[fired[0]] is Status.PENDING
    queued = broker.head("default:normal", 100)
    assert str(unpushed.id) in queued
