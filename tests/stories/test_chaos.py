"""Twenty seconds of `make chaos`: every promise holds whatever breaks; and the checker can fail."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import report
from chaos.__main__ import main
from chaos.checker import judge
from chaos.crew import Role
from chaos.faults import Fault
from chaos.faults.backlog import queued
from chaos.plain_rq.system import PlainRQ
from chaos.plan import Plan
from chaos.report import report_on
from chaos.run import Run
from chaos.scene import Scene
from chaos.stage import Stage
from dev.guard import descendants
from tests.eventually import eventually

pytestmark = pytest.mark.timeout(300)

SEED = 1
MINUTES = 22 / 60  # enough for each of these once, and for two seconds in which they overlap
FAULTS = (
    "web: kill -9 of a web process",
    "workers: kill -9, busy",
    "redis: kill -9, with nothing on disk",
    "postgres: kill -9 of the postmaster",
)
MIXED = "a random mix of all of them"
RATE = 30.0  # requests per second; some ask for many tasks
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Neither a process nor a handler of a signal."""
    processes, handlers = set(descendants(os.getpid())), [signal.getsignal(n) for n in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, handlers, strict=True):
        signal.signal(number, handler)
    eventually(lambda: not set(descendants(os.getpid())) - processes)


def test_every_promise_holds_whatever_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    monkeypatch.setenv("CHAOS_SEED", f"{SEED}")
    monkeypatch.setenv("CHAOS_MINUTES", f"{MINUTES}")
    monkeypatch.setenv("CHAOS_RATE", f"{RATE}")

    status = main([*FAULTS])

    (for_machines,), (for_people,) = tmp_path.glob("*.json"), tmp_path.glob("*.md")
    _, (found,) = report.read(for_machines)
    assert (found.tally.lost, found.tally.unexpected, found.tally.stuck) == (0, 0, 0)
    assert found.holds and status == 0, for_people.read_text()
    assert found.tally.acknowledged > 100
    assert {each.strike.name for each in found.recoveries} == {*FAULTS, MIXED}
    assert not [note for note in found.notes if "cut short" in note]
    assert f"CHAOS_SEED={SEED}" in for_people.read_text()


def forget_what_waits(scene: Scene) -> None:
    """Plain RQ has what it was asked for in Redis alone."""
    with scene.crew.without(*scene.crew.of(Role.WORKER)):
        scene.until(lambda: len(queued(scene)) >= 5, within=20)
        with scene.stage.redis_client() as redis:
            redis.flushall()


def test_the_same_harness_finds_what_plain_rq_loses() -> None:
    fault = Fault("redis", "FLUSHALL while tasks wait", 3, forget_what_waits)
    with Stage() as stage:
        plan = Plan(singles=[fault])
        evidence = Run(PlainRQ(), stage, SEED, plan, RATE * 2, [fault], patience=8).go()
    stage.remove()
    found = report_on(evidence, judge(evidence))

    assert found.tally.acknowledged > found.tally.lost > 0
    assert not found.holds
    assert 2 in {verdict.number for verdict in found.verdicts if not verdict.holds}
