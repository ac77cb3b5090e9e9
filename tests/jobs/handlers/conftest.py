"""Attempts at shipped kinds, run as a horse runs them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from jobs.assignment import Assignment, Progress, Report
from jobs.handlers import SHIPPED
from jobs.perform import Performance
from tasks import catalog, sealing
from tests.jobs.local_servers import WebServer, serving

catalog.load(SHIPPED)

TASK_ID = "0190b6f0-0000-7000-8000-000000000001"


@dataclass
class Attempt:
    """What became of one attempt."""

    report: Report
    progress: list[Any]

    @property
    def result(self) -> Any:
        assert self.report.error is None, self.report.error
        return json.loads(self.report.result or b"null")

    @property
    def error(self) -> dict[str, Any]:
        assert self.report.error is not None
        return self.report.error


@pytest.fixture
def _vault() -> Iterator[None]:
    before = sealing.vault()
    sealing.configure(sealing.Vault([f"1:{sealing.new_key()}"]))
    yield
    sealing.configure(before)


@pytest.fixture
def attempt(_vault: None) -> Callable[..., Attempt]:
    """Make one attempt at a task of this kind with this payload."""

    def run(name: str, payload: dict[str, Any], *, number: int = 1) -> Attempt:
        kind = catalog.kind(name)
        kind.check(payload)
        said: list[Progress] = []
        assignment = Assignment(
            task_id=TASK_ID,
            name=name,
            payload=json.dumps(sealing.seal(kind, payload)).encode(),
            attempt=number,
            timeout=60,
            max_retries=20,
            failures=number - 1,
            worker_id="worker",
            request_id=None,
        )
        report = Performance(assignment, said.append, max_result_bytes=1_048_576).run()
        return Attempt(report, [json.loads(each.said) for each in said])

    return run


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving(WebServer()) as server:
        yield server
