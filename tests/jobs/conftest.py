"""Real workers for tests."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from tasks import actions, catalog, store
from tasks.actions import Submission
from tasks.database import Sessions
from tasks.lifecycle import FINISHED, Status
from tasks.models import Task, Worker
from tests.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """A `python -m jobs` of the test's own."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobs"], cwd=ROOT, env=environ, stdout=output, stderr=output
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def says(self) -> str:
        return self._log.read_text()

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, within: float = 15) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(within)

    def horses(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


@pytest.fixture
def a_running_worker(
    environ: dict[str, str], sessions: Sessions, tmp_path: Path
) -> Iterator[Callable[..., Process]]:
    """Start a real worker and wait until it serves; settings are given as in the environment."""
    catalog.load(["tests.jobs.obedient"])
    processes: list[Process] = []

    def start(**settings: Any) -> Process:
        chosen = {
            "TASK_MODULES": "tests.jobs.obedient",
            "WORKER_LEASE": "2",
            "SHUTDOWN_GRACE": "5",
            "PYTHONPATH": str(ROOT),
        } | {name.upper(): str(value) for name, value in settings.items()}
        process = Process(environ | chosen, tmp_path / f"worker-{len(processes)}.log")
        processes.append(process)

        def registered() -> bool:
            with sessions() as session:
                return session.query(Worker).filter_by(pid=process.pid).count() == 1

        eventually(registered, within=20)
        return process

    yield start
    for process in processes:
        if process.process.poll() is None:
            process.tell(signal.SIGCONT)
            process.tell(signal.SIGKILL)
            process.ends()
        sys.stdout.write(process.says())  # shown by pytest where the test has failed


def submit(do: str = "succeed", *, kind: str = "obey", **more: Any) -> UUID:
    """Submit a task for an obedient handler; what is not a field of a submission is its payload."""
    fields = {name: more.pop(name) for name in list(more) if name in FIELDS}
    return actions.submit(Submission(name=kind, payload={"do": do, **more}, **fields)).id


FIELDS = {"max_retries", "timeout", "priority", "queue_name", "delay", "expires_at", "labels"}


def look(task_id: UUID) -> Task:
    with database_session() as session:
        return store.find(session, task_id)


def database_session() -> Session:
    from tasks.database import sessions

    return sessions()


def finished(task_id: UUID, within: float = 10) -> Task:
    """The task, once it is finished."""

    def over() -> Task:
        task = look(task_id)
        assert task.status in FINISHED, f"it is {task.status}"
        return task

    return eventually(over, within=within)


def becomes(task_id: UUID, status: Status, within: float = 10) -> Task:
    """The task, once it has this status."""

    def there() -> Task:
        task = look(task_id)
        assert task.status is status, f"it is {task.status}"
        return task

    return eventually(there, within=within)


def begun(task_id: UUID) -> Task:
    """The task, once its handler runs: one that is ordered to say so.

    A task is RUNNING from its claim on, a moment before a horse reads of it.
    """

    def said() -> Task:
        task = look(task_id)
        assert task.progress is not None, f"it is {task.status}"
        return task

    return eventually(said)
