"""rq-scheduler's own tools show what fires next, and Redis may forget it at any time."""

from __future__ import annotations

from datetime import UTC

import pytest
from redis import Redis
from rq_scheduler import Scheduler

from jobs.rq_job import Job
from scheduler.mirror_schedules import Mirror, mirror_schedules
from scheduler.remove_leftovers import Scan, remove_leftovers
from tasks import schedule_actions
from tasks.broker import Broker
from tests.rows import ago
from tests.schedule_rows import a_schedule

pytestmark = pytest.mark.usefixtures("sessions")


@pytest.fixture
def redis(broker: Broker) -> Redis:
    return broker.redis


def shown(redis: Redis) -> list[tuple[str, str, float]]:
    """Id, name and time, as rq-scheduler lists its jobs."""
    tool = Scheduler(connection=redis)
    return [
        (job.id, job.description, at.replace(tzinfo=UTC).timestamp())
        for job, at in tool.get_jobs(with_times=True)
    ]


def test_what_fires_next_comes_first(redis: Redis) -> None:
    late = a_schedule(name="late", due=False, next_fire_at=ago(hours=-2))
    soon = a_schedule(name="soon", due=False, next_fire_at=ago(hours=-1))
    a_schedule(name="paused", paused=True)

    assert mirror_schedules(redis, Mirror()) == 2

    assert shown(redis) == [
        (str(soon.id), "soon", pytest.approx(soon.next_fire_at.timestamp())),
        (str(late.id), "late", pytest.approx(late.next_fire_at.timestamp())),
    ]


def test_it_follows_changes_and_writes_nothing_without_one(redis: Redis) -> None:
    schedule = a_schedule(name="first", due=False)
    other = a_schedule(name="other", due=False)
    mirror = Mirror()
    mirror_schedules(redis, mirror)
    assert mirror_schedules(redis, mirror) == 0

    schedule_actions.change(schedule.id, {"name": "second"}, {})
    schedule_actions.remove(other.id)

    assert mirror_schedules(redis, mirror) == 2
    assert [name for _, name, _ in shown(redis)] == ["second"]
    assert not redis.exists(f"rq:job:{other.id}")


def test_it_is_written_anew_when_redis_has_forgotten_it(redis: Redis) -> None:
    a_schedule(name="remembered", due=False)
    mirror = Mirror()
    mirror_schedules(redis, mirror)

    redis.flushall()

    assert mirror_schedules(redis, mirror) == 1
    assert [name for _, name, _ in shown(redis)] == ["remembered"]


def test_what_others_left_there_goes(redis: Redis) -> None:
    redis.zadd(Scheduler.scheduled_jobs_key, {"stranger": 1.0})
    a_schedule(name="ours", due=False)

    mirror_schedules(redis, Mirror())

    assert [name for _, name, _ in shown(redis)] == ["ours"]


def test_its_jobs_are_not_taken_for_leftovers(broker: Broker, redis: Redis) -> None:
    schedule = a_schedule(due=False)
    mirror_schedules(redis, Mirror())

    remove_leftovers(broker, Scan())

    assert redis.exists(f"rq:job:{schedule.id}")
    assert redis.ttl(f"rq:job:{schedule.id}") > 0


def test_a_stock_scheduler_that_enqueues_them_submits_nothing(redis: Redis, session) -> None:
    schedule = a_schedule(due=False, next_fire_at=ago(seconds=-1))
    mirror_schedules(redis, Mirror())

    stock = Scheduler(connection=redis, job_class=Job)
    (job,) = stock.get_jobs()
    stock.enqueue_job(job)

    assert redis.lrange("rq:queue:default:normal", 0, -1) == [str(schedule.id).encode()]
    assert stock.count() == 0
    assert mirror_schedules(redis, Mirror()) == 1  # and it is shown again
