"""One question tells what the clock owes, and when."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, text

from tasks import agenda, stats
from tasks.lifecycle import FINISHED, Status
from tests.rows import ago


def test_an_empty_service_owes_nothing(session):
    assert agenda.look(session).due == {}


@pytest.mark.parametrize("ahead", [3600.0, 0.5, -3.0])
@pytest.mark.parametrize("owed", ["dispatch_due", "expire", "rescue_silent"])
def test_it_tells_when_something_is_owed(session, a_task, a_worker, owed, ahead):
    at = ago(seconds=-ahead)
    match owed:
        case "dispatch_due":
            a_task(Status.SCHEDULED, run_at=at)
            a_task(Status.SCHEDULED, run_at=ago(days=-1))
        case "expire":
            a_task(Status.PENDING, expires_at=at)
        case "rescue_silent":
            a_worker("w", expires_at=at)
            a_worker("v", lease=86400)

    assert agenda.look(session).due[owed] == pytest.approx(ahead, abs=0.4)


@pytest.mark.parametrize("status", sorted({*FINISHED, Status.RUNNING}))
def test_what_can_no_longer_expire_is_not_owed(session, a_task, status):
    a_task(status, expires_at=ago(seconds=5))

    assert "expire" not in agenda.look(session).due


def test_tallies_are_owed_while_there_are_new_changes(session, a_task):
    a_task(Status.SUCCEEDED)
    assert agenda.look(session).due["tally"] == 0

    stats.compact(session)
    assert "tally" not in agenda.look(session).due


def test_its_clock_is_postgresqls(session):
    now = session.scalar(select(func.extract("epoch", func.clock_timestamp())))

    assert agenda.look(session).now == pytest.approx(float(now), abs=0.5)


def test_no_answer_reads_a_table_of_tasks_from_end_to_end(session, a_task):
    """With thousands of finished rows each answer still is the first entry of an index."""
    session.execute(
        text("""
            INSERT INTO tasks (id, name, payload, queue_name, priority, status, timeout,
                max_retries, finished_at)
            SELECT gen_random_uuid(), 'k', '{}', 'q', 'low', 'cancelled', 1, 0, now()
            FROM generate_series(1, 5000)
        """)
    )
    session.execute(text("ANALYZE tasks"))
    asked: list[str] = []
    for due in agenda.DUE.values():
        compiled = select(due).compile(session.get_bind(), compile_kwargs={"literal_binds": True})
        asked += session.scalars(text("EXPLAIN " + str(compiled).replace(":", "\\:")))

    assert not [line for line in asked if "Seq Scan on tasks" in line], "\n".join(asked)
