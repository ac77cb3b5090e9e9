"""Redis keeps no job for which PostgreSQL has no use, and none of anybody else's is touched."""

from __future__ import annotations

from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from scheduler.remove_leftovers import Scan, remove_leftovers
from tasks.lifecycle import FINISHED, Status
from tests.rows import ago
from tests.scheduler.test_requeue_lost import delivery

pytestmark = pytest.mark.usefixtures("sessions")


def a_job(broker, task):
    broker.queue([delivery(task)])
    return f"rq:job:{task.id}"


@pytest.mark.parametrize("status", sorted(FINISHED))
def test_the_job_of_a_task_that_has_ended_is_removed(broker, a_task, status):
    job = a_job(broker, a_task(status))

    assert remove_leftovers(broker, Scan()) == 1
    assert not broker.redis.exists(job)


@pytest.mark.parametrize("status", sorted(set(Status) - FINISHED))
def test_the_job_of_an_unfinished_task_stays(broker, a_task, status):
    job = a_job(broker, a_task(status))

    assert remove_leftovers(broker, Scan()) == 0
    assert broker.redis.exists(job)


def test_a_job_without_a_task_is_removed(broker, a_task):
    ghost = a_task()
    job = a_job(broker, ghost).replace(str(ghost.id), str(uuid7()))
    broker.redis.rename(f"rq:job:{ghost.id}", job)

    assert remove_leftovers(broker, Scan()) == 1
    assert not broker.redis.exists(job)


def test_a_worker_gets_time_to_show_how_a_task_ended(broker, a_task):
    job = a_job(broker, a_task(Status.SUCCEEDED, finished_at=ago(seconds=5)))

    assert remove_leftovers(broker, Scan()) == 0
    assert broker.redis.exists(job)


def test_what_goes_by_itself_is_left_to_it(broker, a_task):
    job = a_job(broker, a_task(Status.SUCCEEDED))
    broker.redis.expire(job, 600)

    assert remove_leftovers(broker, Scan()) == 0


def test_the_damaged_job_of_a_task_that_has_ended_is_removed(broker, a_task):
    job = a_job(broker, a_task(Status.SUCCEEDED))
    broker.redis.hset(job, "data", b"\x80\x04not what anybody wrote")

    assert remove_leftovers(broker, Scan()) == 1
    assert not broker.redis.exists(job)


@pytest.mark.parametrize("malformed", ["without data", "not a hash"])
def test_a_malformed_job_without_a_task_is_removed(broker, malformed):
    job = f"rq:job:{uuid7()}"
    if malformed == "not a hash":
        broker.redis.set(job, "text")
    else:
        broker.redis.hset(job, "origin", "default:normal")

    assert remove_leftovers(broker, Scan()) == 1
    assert not broker.redis.exists(job)


@pytest.mark.parametrize(
    "id", [str(uuid4()), "report-7", str(uuid7())], ids=["version 4", "words", "version 7"]
)
def test_jobs_of_other_applications_are_not_touched(broker, id):
    broker.redis.hset(f"rq:job:{id}", "data", '["their.function",null,[],{}]')

    assert remove_leftovers(broker, Scan()) == 0
    assert broker.redis.exists(f"rq:job:{id}")


def test_every_key_is_looked_at_in_the_end(broker, a_task, monkeypatch):
    monkeypatch.setattr("scheduler.remove_leftovers.KEYS", 10)
    for _ in range(40):
        a_job(broker, a_task(Status.CANCELLED))
    scan, gone = Scan(), 0
    for _ in range(100):
        gone += remove_leftovers(broker, scan)

    assert gone == 40
