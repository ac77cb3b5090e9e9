"""Outcomes go on record beside the worker's loop, one set at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import psycopg2
import pytest
from redis.exceptions import RedisError

from jobs.mirror import Mirror
from jobs.recorder import Recorder
from jobs.settling import Outbox
from tasks import failpoints
from tasks.broker import Broker
from tasks.database import Sessions
from tasks.errors import DatabaseUnavailable
from tasks.lifecycle import Move, Outcome, Status
from tasks.models import Task
from tests.jobs.conftest import look
from tests.tasks.test_store import word


@pytest.fixture
def over() -> threading.Event:
    return threading.Event()


@pytest.fixture
def recorder(over: threading.Event) -> Iterator[Recorder]:
    recorder = Recorder(over.set)
    yield recorder
    recorder.rest()


def holding(*tasks: Task) -> Outbox:
    """An outbox with the success of these running tasks."""
    outbox = Outbox()
    for task in tasks:
        outbox.add(word(task, Move.SUCCEED, Outcome.SUCCEEDED), "default:normal")
    return outbox


def test_it_says_when_it_is_over_and_tells_what_is_on_record(
    recorder: Recorder, over: threading.Event, sessions: Sessions, a_task: Callable[..., Task]
) -> None:
    task = a_task(status=Status.RUNNING)
    outbox = holding(task)

    recorder.begin(outbox, None)
    assert over.wait(10)

    assert recorder.is_done and not recorder.is_idle
    recorded = recorder.result()
    assert [each.settlement.task_id for each in recorded.done] == [str(task.id)]
    assert recorder.is_idle and len(outbox) == 0
    assert look(task.id).status is Status.SUCCEEDED


def test_what_came_meanwhile_stays_for_the_next_set(
    recorder: Recorder, sessions: Sessions, a_task: Callable[..., Task]
) -> None:
    first, second = a_task(status=Status.RUNNING), a_task(status=Status.RUNNING)
    outbox = holding(first)
    with sessions.begin() as elsewhere:
        elsewhere.get(Task, first.id, with_for_update=True)
        recorder.begin(outbox, None)
        outbox.add(word(second, Move.SUCCEED, Outcome.SUCCEEDED), "default:normal")

    assert len(recorder.result().done) + len(outbox) == 2
    while len(outbox):
        recorder.begin(outbox, None)
        recorder.result()
    assert {look(first.id).status, look(second.id).status} == {Status.SUCCEEDED}


def test_a_mirror_that_fails_takes_nothing_back(
    recorder: Recorder, sessions: Sessions, a_task: Callable[..., Task], broker: Broker
) -> None:
    task = a_task(status=Status.RUNNING)
    outbox = holding(task)
    broker.redis.set("rq:finished:default:normal", "not a sorted set")

    recorder.begin(outbox, Mirror(broker, "w", keep=60))
    recorded = recorder.result()

    assert recorded.shown and isinstance(recorded.trouble, RedisError)
    assert len(recorded.done) == 1 and look(task.id).status is Status.SUCCEEDED


def test_what_postgresql_did_not_take_is_kept(
    recorder: Recorder,
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

    recorder.begin(outbox, None)
    with pytest.raises(DatabaseUnavailable):
        recorder.result()

    assert recorder.is_idle and len(outbox) == 1
    assert look(task.id).status is Status.RUNNING


def test_when_it_rests_the_process_has_one_thread_less(
    recorder: Recorder, sessions: Sessions
) -> None:
    def threads() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name.startswith("recorder")]

    recorder.begin(Outbox(), None)
    assert threads()
    recorder.rest()

    assert not threads()
    assert recorder.result().done == []
    recorder.begin(Outbox(), None)  # and it can begin again
    assert recorder.result().done == []
