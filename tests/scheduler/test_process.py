"""The scheduler process keeps time whatever happens around it, and beside others of its kind."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from dev.servers import Redis
from jobs.handlers import SHIPPED
from scheduler.duties import Terms
from scheduler.process import Scheduler
from tasks import actions, catalog, store
from tasks.actions import Submission
from tasks.broker import Broker, connect
from tasks.lifecycle import Status
from tasks.models import Task, tally_deltas
from tests.eventually import eventually
from tests.rows import ago
from tests.scheduler.test_requeue_lost import QUEUE

SOON = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def kinds():
    catalog.load(SHIPPED)


def submitted(**columns) -> Task:
    return actions.submit(Submission(name="example_task", payload={"message": "hi"}, **columns))


def lateness(sessions, task: Task) -> timedelta:
    """How late the task became pending, once it is."""

    def pending_since():
        with sessions.begin() as session:
            return store.find(session, task.id).pending_since or False

    return eventually(pending_since) - task.run_at


def test_a_due_task_becomes_pending_within_a_second_of_its_time(
    sessions, broker, a_running_scheduler
):
    a_running_scheduler()
    tasks = [submitted(delay=delay) for delay in (0.05, 0.4, 1.1)]

    late = [lateness(sessions, task) for task in tasks]

    assert all(timedelta() <= each < SOON for each in late), late
    eventually(lambda: broker.length(QUEUE) == 3)


def test_it_stops_in_order_when_told_to(sessions, broker, a_running_scheduler):
    scheduler = a_running_scheduler()
    (key,) = eventually(lambda: broker.redis.keys("rq:scheduler_instance:*"))
    assert not broker.redis.hexists(key, "death")

    scheduler.process.send_signal(signal.SIGTERM)
    scheduler.process.send_signal(signal.SIGTERM)

    assert scheduler.ends() == 0
    assert broker.redis.hexists(key, "death")
    assert "has stopped" in scheduler.says()


def test_several_dispatch_every_task_once(sessions, broker, a_running_scheduler, a_task):
    for _ in range(3):
        a_running_scheduler()
    due = ago(seconds=-1)
    tasks = {str(a_task(Status.SCHEDULED, run_at=due).id) for _ in range(200)}

    eventually(lambda: broker.length(QUEUE) >= 200)

    assert broker.length(QUEUE) == 200
    assert set(broker.head(QUEUE, 200)) == tasks


def test_everything_pending_comes_back_after_redis_lost_its_memory(
    sessions, broker, a_running_scheduler
):
    a_running_scheduler()
    ids = [str(submitted().id) for _ in range(5)]
    eventually(lambda: broker.redis.keys("rq:scheduler_instance:*"))

    broker.redis.flushall()

    eventually(lambda: sorted(broker.head(QUEUE, 9)) == sorted(ids))
    eventually(lambda: broker.redis.keys("rq:scheduler_instance:*"), within=15)


def test_a_redis_that_hangs_makes_no_task_late(
    sessions, tmp_path: Path, a_running_scheduler, postgres_url
):
    with Redis(tmp_path / "redis", temporary=True, settings={"save": '""'}) as server:
        scheduler = a_running_scheduler(redis_url=server.url)
        eventually(lambda: "every pending task is in Redis again" in scheduler.says())
        server.pause()
        try:
            late = [lateness(sessions, submitted(delay=0.5)) for _ in range(4)]
        finally:
            server.resume()
        assert all(each < SOON for each in late), late

        with closing(connect(server.url, patience=2)) as client:
            eventually(lambda: Broker(client).length(QUEUE) >= 4, within=15)


def test_it_goes_on_when_every_connection_to_postgresql_is_cut(
    sessions, broker, a_running_scheduler
):
    scheduler = a_running_scheduler()
    for _ in range(3):
        with sessions.begin() as session:
            session.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        assert lateness(sessions, submitted(delay=0.1)) < timedelta(seconds=2.5)

    assert scheduler.process.poll() is None
    assert "Traceback" not in scheduler.says()


def test_a_task_of_a_silent_worker_comes_back_soon(
    sessions, broker, a_running_scheduler, a_task, a_worker
):
    a_running_scheduler(worker_lease=1)
    a_worker("silent", lease=0.5)
    task = a_task(Status.RUNNING, worker_id="silent")

    eventually(lambda: broker.head(QUEUE, 1) == [str(task.id)], within=4)


def test_the_tallies_are_kept_small(sessions, a_running_scheduler):
    a_running_scheduler()
    for _ in range(5):
        submitted()

    def deltas() -> int:
        with sessions.begin() as session:
            return session.scalar(select(func.count()).select_from(tally_deltas)) or 0

    eventually(lambda: deltas() == 0)


def test_rqs_own_tool_tells_the_same(sessions, broker, redis_url, a_running_scheduler):
    a_running_scheduler()
    submitted(priority="high")
    submitted()

    told = subprocess.run(
        [Path(sys.executable).parent / "rq", "info", "--url", redis_url, "--raw"],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert told.returncode == 0, told.stderr
    for queue in ("default:high", "default:normal"):
        assert f"queue {queue} 1," in told.stdout


def test_a_burst_is_one_round_of_every_duty(sessions, broker, a_task):
    due = a_task(Status.SCHEDULED, run_at=ago(seconds=1))

    Scheduler(broker, Terms()).run(burst=True)

    assert broker.head(QUEUE, 9) == [str(due.id)]
