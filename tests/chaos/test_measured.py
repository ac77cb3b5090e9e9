"""Recovery is measured of faults that struck alone, by what PostgreSQL has on record."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.evidence import AttemptRow, Evidence, Strike
from chaos.executions import Attempt, Execution
from chaos.figures import Why, recoveries
from chaos.ledger import Ledger
from chaos.measured import BURNT, FINAL, HORSE, POSTGRES, WORKER, Figure, measured
from chaos.system import Row
from chaos.witness import Change

KILLED = 100.0
ID = "0190-task"


def evidence(*strikes: Strike, **more: Any) -> Evidence:
    """One task that a worker began at 99 s and lost, and that another finished."""
    facts: dict[str, Any] = {
        "lease": 3.0,
        "rows": {ID: Row(ID, "chaos.nothing", "succeeded", None, "default:normal", 2, {}, True)},
        "executions": {},
        "history": {
            ID: [
                Change(98.0, None, "pending", 0, None, None),
                Change(99.0, "pending", "running", 1, "a", None),
                Change(102.5, "running", "scheduled", 1, None, 103.0),
                Change(103.1, "scheduled", "pending", 1, None, None),
                Change(103.4, "pending", "running", 2, "b", None),
                Change(103.5, "running", "succeeded", 2, None, None),
            ]
        },
        "attempts": {
            ID: [
                AttemptRow(1, "a", 99.0, 102.5, "lost", "rescue"),
                AttemptRow(2, "b", 103.4, 103.5, "succeeded", "succeed"),
            ]
        },
    }
    return Evidence(
        title="a run",
        minutes=0.0,
        began=90.0,
        ended=120.0,
        ledger=Ledger(),
        strikes=list(strikes),
        keeps_attempts=True,
        **facts | more,
    )


def a_strike(name: str, *, at: float = KILLED, **more: Any) -> Strike:
    return Strike(name, at - 1, at + 1, struck=at, **more)


def figure(evidence: Evidence, name: str) -> Figure | None:
    return {each.name: each for each in measured(evidence)}.get(name)


def test_a_killed_workers_task_is_taken_over_when_it_runs_again():
    found = figure(evidence(a_strike("workers: kill -9, busy", alone=True)), WORKER)

    assert found is not None
    assert found.value == pytest.approx(3.4)
    assert (found.allowed, found.holds) == ("≤ lease + 2 s", True)


def test_a_worker_that_was_killed_among_other_faults_is_not_measured():
    assert figure(evidence(a_strike("workers: kill -9, busy")), WORKER) is None


def test_a_task_that_is_never_started_again_is_never_taken_over():
    run = evidence(a_strike("workers: kill -9, busy", alone=True))
    run.history = {ID: run.history[ID][:4]}

    found = figure(run, WORKER)

    assert found is not None
    assert not found.holds


def test_postgresql_is_measured_from_its_first_answer_to_the_next_settled_task():
    found = figure(evidence(a_strike("postgres: restart, fast", at=101.0, alone=True)), POSTGRES)

    assert found is not None
    assert found.value == pytest.approx(1.5)


def test_only_a_horse_that_was_busy_counts():
    busy = Execution(Attempt(ID, 1), 7, 99.0)
    run = evidence(
        a_strike("horses: kill -9", alone=True),
        executions={ID: [busy]},
        attempts={ID: [AttemptRow(1, "a", 99.0, 100.2, "crashed", "retry")]},
        kills=[(7, 100.0), (8, 100.0)],
    )

    found = figure(run, HORSE)

    assert found is not None
    assert (found.value, found.of) == (pytest.approx(0.2), 1)


@pytest.mark.parametrize(
    ("kind", "outcome", "burnt"),
    [
        ("chaos.nothing", "released", 0),
        ("chaos.nothing", "lost", 1),
        ("chaos.nothing", "crashed", 1),
        ("chaos.nothing", "failed", 1),
        ("chaos.fail", "failed", 0),
        ("chaos.die", "crashed", 0),
    ],
)
def test_a_restart_in_order_burns_what_it_spoils(kind: str, outcome: str, burnt: int):
    run = evidence(
        Strike("workers: rolling SIGTERM", 98.0, 110.0, gentle=True),
        rows={ID: Row(ID, kind, "succeeded", None, finished=True)},
        attempts={ID: [AttemptRow(1, "a", 99.0, 100.0, outcome, "release")]},
    )

    found = figure(run, BURNT)

    assert found is not None
    assert found.value == burnt


def test_a_task_has_one_final_status_since_its_last_rerun():
    run = evidence()
    run.history = {
        ID: [
            Change(1.0, None, "pending", 0, None, None),
            Change(2.0, "pending", "cancelled", 0, None, None),
            Change(3.0, "cancelled", "pending", 0, None, None),
            Change(4.0, "pending", "cancelled", 0, None, None),
        ]
    }

    found = figure(run, FINAL)

    assert found is not None
    assert found.value == 0


def test_what_began_after_a_fault_and_was_lost_by_the_next_is_not_its_recovery():
    before = Strike("network: slow", 96.0, 97.0)
    kill = Strike("workers: kill -9, busy", 99.3, 101.0, struck=99.5)

    first, second = recoveries(evidence(before, kill))

    assert first.slowest is None or first.slowest.why is not Why.LOST
    assert second.longest == pytest.approx(3.0)


def test_a_recovery_names_what_was_broken_meanwhile():
    kill, later = (
        a_strike("workers: kill -9, busy"),
        Strike("postgres: restart, fast", 102.0, 103.0),
    )

    first, _ = recoveries(evidence(kill, later))

    assert first.besides == ["postgres: restart, fast"]


@pytest.mark.parametrize(("came_from", "left_behind"), [("scheduled", True), ("running", False)])
def test_a_turn_before_others_counts_unless_it_was_given_back(came_from: str, left_behind: bool):
    """A task that a worker gives back goes to the front of its queue."""
    other, row = "0190-other", Row("", "chaos.nothing", "succeeded", None, "default:normal")
    run = evidence(
        a_strike("redis: FLUSHALL", at=200.0),
        rows={ID: row, other: row},
        attempts={},
        history={
            ID: [
                Change(201.0, None, "pending", 0, None, None),
                Change(230.0, "pending", "running", 1, "a", None),
                Change(230.1, "running", "succeeded", 1, None, None),
            ],
            other: [
                Change(203.0, came_from, "pending", 1, None, None),
                Change(203.1, "pending", "running", 2, "a", None),
                Change(203.2, "running", "succeeded", 2, None, None),
            ],
        },
    )

    (found,) = recoveries(run)

    assert found.slowest is not None
    assert (found.slowest.why is Why.LEFT_BEHIND) is left_behind
