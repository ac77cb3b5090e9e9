"""What a set of outcomes leaves on record, in the outbox and in RQ's registries."""

from __future__ import annotations

from collections.abc import Callable

import psycopg2
import pytest
from redis.exceptions import RedisError

from jobs.mirror import Mirror
from jobs.recorder import record
from jobs.settling import Outbox
from tasks import failpoints
from tasks.broker import Broker
from tasks.database import Sessions
from tasks.errors import DatabaseUnavailable
from tasks.lifecycle import Move, Outcome, Status
from tasks.models import Task
from tests.jobs.conftest import look
from tests.tasks.test_store import word


def holding(*tasks: Task) -> Outbox:
    """An outbox with the success of these running tasks."""
    outbox = Outbox()
    for task in tasks:
        outbox.add(word(task, Move.SUCCEED, Outcome.SUCCEEDED), "default:normal")
    return outbox


def test_what_is_on_record_leaves_the_outbox(
    sessions: Sessions, a_task: Callable[..., Task]
) -> None:
    task = a_task(status=Status.RUNNING)
    outbox = holding(task)

    recorded = record(outbox, None)

    assert [each.settlement.task_id for each in recorded.done] == [str(task.id)]
    assert not recorded.shown and len(outbox) == 0
    assert look(task.id).status is Status.SUCCEEDED


def test_a_mirror_that_fails_takes_nothing_back(
    sessions: Sessions, a_task: Callable[..., Task], broker: Broker
) -> None:
    task = a_task(status=Status.RUNNING)
    outbox = holding(task)
    broker.redis.set("rq:finished:default:normal", "not a sorted set")

    recorded = record(outbox, Mirror(broker, "w", keep=60))

    assert recorded.shown and isinstance(recorded.trouble, RedisError)
    assert len(recorded.done) == 1 and look(task.id).status is Status.SUCCEEDED


def test_what_postgresql_did_not_take_is_kept(
    sessions: Sessions,
    a_task: Callable[..., Task],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reached(step: str, moment: str) -> None:
        if (step, moment) == ("settle", "before"):
            raise psycopg2.OperationalError("as ordered")

    task = a_task(status=Status.RUNNING)
    outbox = holding(task)
    monkeypatch.setattr(failpoints, "reached", reached)

    with pytest.raises(DatabaseUnavailable):
        record(outbox, None)

    assert len(outbox) == 1
    assert look(task.id).status is Status.RUNNING
