"""A worker runs what it is given, says how it ended, and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from rq.suspension import resume, suspend
from sqlalchemy import func, select, update

from tasks import actions, catalog, leases
from tasks.broker import Broker, Delivery
from tasks.database import Sessions, note_pending
from tasks.lifecycle import Outcome, Priority, Status
from tasks.models import Attempt, AuditEntry, Task, Worker
from tasks.scripts import READY, WAKE
from tests.eventually import eventually
from tests.jobs.conftest import (
    ROOT,
    Process,
    becomes,
    begun,
    database_session,
    finished,
    look,
    submit,
)

Start = Callable[..., Process]


def outcomes(task_id: UUID) -> list[tuple[int, Outcome, str]]:
    with database_session() as session:
        ended = session.scalars(
            select(Attempt).where(Attempt.task_id == task_id).order_by(Attempt.number)
        )
        return [(each.number, each.outcome, each.move) for each in ended]


# -- how attempts end -------------------------------------------------------------------------


def test_what_a_handler_returns_is_the_result(a_running_worker: Start) -> None:
    a_running_worker()
    task = finished(submit(value={"answer": [42, None, "ü"]}))

    assert task.status is Status.SUCCEEDED
    assert task.result == {"answer": [42, None, "ü"]}
    assert outcomes(task.id) == [(1, Outcome.SUCCEEDED, "succeed")]


@pytest.mark.parametrize(
    ("do", "says"),
    [
        ("raise", "as ordered"),
        ("leave", "3"),
        ("exit", "exited with code 0"),
        ("die", "signal 9 (SIGKILL)"),
        ("segfault", "signal 11 (SIGSEGV)"),
        ("set", "not JSON"),
        ("nul", "NUL"),
    ],
)
def test_every_bad_end_is_told_in_words(a_running_worker: Start, do: str, says: str) -> None:
    a_running_worker(max_crashes=1)

    task = finished(submit(do, max_retries=0))

    assert task.status is Status.FAILED
    assert task.error is not None and says in task.error["message"]


def test_a_result_that_is_too_large_fails_for_good(a_running_worker: Start) -> None:
    a_running_worker(max_result_bytes=1000)

    task = finished(submit("large", seconds=2000, max_retries=3))

    assert (task.status, task.attempt) == (Status.FAILED, 1)
    assert task.error is not None and "MAX_RESULT_BYTES" in task.error["message"]


def test_large_payloads_and_results_pass(a_running_worker: Start) -> None:
    a_running_worker()

    task = finished(submit(value="y" * 200_000))

    assert task.result == "y" * 200_000


def test_a_failed_attempt_is_tried_again_until_none_is_left(
    a_running_worker: Start, sessions: Sessions
) -> None:
    a_running_worker()
    task_id = submit("raise", max_retries=1)

    becomes(task_id, Status.SCHEDULED)
    dispatch(sessions)
    task = finished(task_id)

    assert task.status is Status.FAILED
    assert outcomes(task_id) == [(1, Outcome.FAILED, "retry"), (2, Outcome.FAILED, "fail")]
    assert task.error is not None and task.error["type"] == "ValueError"
    assert "Traceback" in task.error["traceback"]


def test_giving_up_uses_no_more_attempts(a_running_worker: Start) -> None:
    a_running_worker()

    assert finished(submit("give up", max_retries=5)).attempt == 1


def test_retrying_later_waits_as_long_as_the_handler_says(a_running_worker: Start) -> None:
    a_running_worker()

    task = becomes(submit("retry later", seconds=60, max_retries=1), Status.SCHEDULED)

    assert task.run_at is not None and task.failures == 1
    assert timedelta(seconds=55) < task.run_at - task.updated_at < timedelta(seconds=65)


def test_snoozing_is_not_counted(a_running_worker: Start, sessions: Sessions) -> None:
    a_running_worker()
    task_id = submit("snooze", max_retries=0)

    assert becomes(task_id, Status.SCHEDULED).failures == 0
    dispatch(sessions)

    assert finished(task_id).result == "awake"
    assert outcomes(task_id)[0] == (1, Outcome.RELEASED, "snooze")


def test_a_poisonous_task_fails_after_its_last_crash(
    a_running_worker: Start, sessions: Sessions
) -> None:
    a_running_worker(max_crashes=2)
    task_id = submit("die", max_retries=9)

    becomes(task_id, Status.SCHEDULED)
    dispatch(sessions)
    task = finished(task_id)

    assert (task.status, task.crashes, task.failures) == (Status.FAILED, 2, 0)
    assert outcomes(task_id) == [(1, Outcome.CRASHED, "retry"), (2, Outcome.CRASHED, "fail")]


def dispatch(sessions: Sessions) -> None:
    """The clock's part: what waits for another attempt becomes due."""

    def due() -> bool:
        with sessions.begin() as session:
            ids = session.scalars(
                update(Task)
                .where(Task.status == Status.SCHEDULED)
                .values(status=Status.PENDING, run_at=None, pending_since=func.now())
                .returning(Task.id)
            ).all()
            note_pending(
                session,
                [Delivery(str(id), "obey", "default", Priority.NORMAL, 60.0) for id in ids],
            )
        return bool(ids)

    eventually(due)


# -- stopping what runs -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["obey", "obey.waiting"])
def test_a_slow_handler_is_interrupted_at_its_timeout(a_running_worker: Start, kind: str) -> None:
    a_running_worker()

    task = finished(
        submit("sleep", kind=kind, seconds=2 if "w" in kind else 30, timeout=0.3, max_retries=0)
    )

    assert task.status is Status.FAILED
    assert outcomes(task.id) == [(1, Outcome.TIMED_OUT, "fail")]


@pytest.mark.parametrize("kind", ["obey", "obey.waiting"])
def test_a_handler_that_swallows_everything_is_killed_at_most_a_second_late(
    a_running_worker: Start, kind: str
) -> None:
    a_running_worker()

    task = finished(submit("swallow", kind=kind, seconds=60, timeout=0.5, max_retries=0))

    assert outcomes(task.id) == [(1, Outcome.TIMED_OUT, "fail")]
    assert task.started_at is not None and task.finished_at is not None
    assert task.finished_at - task.started_at < timedelta(seconds=2)


@pytest.mark.parametrize("do", ["sleep", "swallow"])
def test_a_cancelled_handler_stops_and_leaves_its_horse_free(
    a_running_worker: Start, do: str
) -> None:
    a_running_worker(worker_concurrency=1)
    task_id = submit(do, seconds=60)
    becomes(task_id, Status.RUNNING)

    actions.cancel(task_id)

    assert finished(submit(), within=3).status is Status.SUCCEEDED
    assert outcomes(task_id) == [(1, Outcome.CANCELLED, "cancel")]


def test_what_runs_beside_a_killed_handler_is_not_blamed(
    a_running_worker: Start, sessions: Sessions
) -> None:
    a_running_worker(worker_concurrency=1)
    beside = submit("sleep", kind="obey.waiting", seconds=1.5)
    becomes(beside, Status.RUNNING)

    deaf = submit("swallow", kind="obey.waiting", seconds=60, timeout=0.2, max_retries=0)

    assert finished(deaf).status is Status.FAILED
    task = finished(beside)
    assert (task.status, task.crashes, task.failures) == (Status.SUCCEEDED, 0, 0)
    assert outcomes(beside)[0][1] is Outcome.RELEASED


# -- many at a time ---------------------------------------------------------------------------


def test_waiting_kinds_share_the_threads_of_a_horse(a_running_worker: Start) -> None:
    a_running_worker(worker_concurrency=1, worker_threads=20)

    ids = actions.submit_many(
        [
            actions.Submission(name="obey.waiting", payload={"do": "sleep", "seconds": 1})
            for _ in range(20)
        ]
    )
    tasks = [finished(id) for id in ids]

    began = min(task.started_at for task in tasks if task.started_at)
    ended = max(task.finished_at for task in tasks if task.finished_at)
    assert ended - began < timedelta(seconds=5)


def test_a_long_task_does_not_hold_back_the_short_ones_behind_it(a_running_worker: Start) -> None:
    a_running_worker(worker_concurrency=2)
    for id in actions.submit_many([actions.Submission(name="obey") for _ in range(50)]):
        finished(id)  # the worker has learned that tasks are short, and claims ahead

    long = submit("sleep", seconds=8)
    short = actions.submit_many([actions.Submission(name="obey") for _ in range(200)])

    for id in short:
        assert finished(id, within=5).status is Status.SUCCEEDED
    assert look(long).status is Status.RUNNING


def test_a_worker_holds_no_more_long_tasks_than_it_runs(a_running_worker: Start) -> None:
    a_running_worker(worker_concurrency=2)
    for id in actions.submit_many([actions.Submission(name="obey") for _ in range(50)]):
        finished(id)  # the worker has learned that tasks are short, and claims ahead

    long = [submit("sleep", seconds=20) for _ in range(6)]

    def only_two_run() -> None:
        running = [id for id in long if look(id).status is Status.RUNNING]
        assert len(running) == 2
        assert {look(id).failures for id in long} == {0}

    becomes(long[0], Status.RUNNING)
    eventually(only_two_run, within=5)


def test_urgent_tasks_are_served_first(a_running_worker: Start) -> None:
    low = [submit(priority=Priority.LOW) for _ in range(30)]
    urgent = [submit(priority=Priority.CRITICAL) for _ in range(30)]
    a_running_worker(worker_concurrency=1)

    last_urgent = max(finished(id).started_at for id in urgent)  # type: ignore[type-var]  # finished
    first_low = min(finished(id).started_at for id in low)  # type: ignore[type-var]  # finished

    assert last_urgent is not None and first_low is not None
    assert last_urgent <= first_low


def test_a_worker_limited_to_queue_names_leaves_the_others(a_running_worker: Start) -> None:
    a_running_worker(worker_queues="mail")
    elsewhere = submit()

    assert finished(submit(queue_name="mail")).status is Status.SUCCEEDED
    assert look(elsewhere).status is Status.PENDING


def test_a_kind_the_worker_does_not_know_is_left_for_others(
    a_running_worker: Start, a_task: Callable[..., Task], broker: Broker
) -> None:
    worker = a_running_worker()
    stranger = a_task(name="of.another.deployment")
    broker.push([Delivery(str(stranger.id), stranger.name, "default", Priority.NORMAL, 60)])

    assert finished(submit()).status is Status.SUCCEEDED
    worker.tell(signal.SIGTERM)

    assert worker.ends() == 0
    assert look(stranger.id).status is Status.PENDING
    assert broker.head("default:normal", 10) == [str(stranger.id)]  # it was given back


def test_horses_are_replaced_after_their_number_of_tasks(a_running_worker: Start) -> None:
    a_running_worker(worker_concurrency=1, worker_max_tasks=3)

    pids = {finished(submit("who")).result["pid"] for _ in range(12)}  # type: ignore[index]  # JSON

    assert len(pids) >= 2


def test_horses_that_have_grown_too_large_are_replaced(a_running_worker: Start) -> None:
    worker = a_running_worker(worker_concurrency=1, worker_max_memory=150)
    (first,) = worker.horses()

    finished(submit("grow", seconds=200))

    eventually(lambda: worker.horses() and first not in worker.horses())
    assert finished(submit()).status is Status.SUCCEEDED


def is_ready(broker: Broker, worker: Process) -> bool:
    """Whether it waits to be handed the next task."""
    return bool(broker.redis.hexists(READY, name_of(worker)))


def test_a_worker_with_nothing_to_do_is_handed_one_task_after_the_other(
    a_running_worker: Start, broker: Broker
) -> None:
    worker = a_running_worker()
    with broker.redis.pubsub(ignore_subscribe_messages=True) as ears:
        ears.subscribe(WAKE)
        ears.get_message(timeout=5)
        for _ in range(3):
            eventually(lambda: is_ready(broker, worker))
            assert finished(submit()).status is Status.SUCCEEDED
        assert ears.get_message(timeout=0.5) is None, "one was queued"
    eventually(lambda: broker.popped_by(name_of(worker)) == [])


def test_nothing_waits_for_a_worker_that_died_or_hangs_when_it_was_ready(
    a_running_worker: Start, broker: Broker
) -> None:
    dies, hangs = a_running_worker(), a_running_worker(worker_lease=60)
    eventually(lambda: is_ready(broker, dies) and is_ready(broker, hangs))
    name = name_of(hangs)
    dies.tell(signal.SIGKILL)
    hangs.tell(signal.SIGSTOP)
    eventually(lambda: int(broker.redis.hget(READY, name).split()[0]) < time.time() - 1)

    a_running_worker()

    assert finished(submit()).status is Status.SUCCEEDED


def test_a_worker_that_is_told_to_stop_is_handed_nothing(
    a_running_worker: Start, broker: Broker
) -> None:
    worker = a_running_worker(worker_concurrency=2)
    running = submit("say", seconds=1.5)
    begun(running)
    eventually(lambda: is_ready(broker, worker))  # a horse is free
    name = name_of(worker)

    worker.tell(signal.SIGTERM)
    eventually(lambda: not broker.redis.hexists(READY, name))
    late = submit()

    assert worker.ends() == 0
    assert look(running).status is Status.SUCCEEDED
    assert look(late).status is Status.PENDING
    assert broker.length("default:normal") == 1
    assert not broker.redis.hexists(READY, name)


def test_a_suspended_worker_starts_nothing_and_does_not_spin(
    a_running_worker: Start, broker: Broker
) -> None:
    worker = a_running_worker()
    suspend(broker.redis)
    eventually(lambda: broker.redis.hget(f"rq:worker:{name_of(worker)}", "state") == b"suspended")
    task_id = submit()

    began, used = time.monotonic(), cpu_seconds(worker.pid)
    eventually(lambda: time.monotonic() - began > 2)
    share = (cpu_seconds(worker.pid) - used) / (time.monotonic() - began)

    assert look(task_id).status is Status.PENDING
    assert share < 0.5  # a loop that never sleeps takes all it can get
    resume(broker.redis)
    assert finished(task_id).status is Status.SUCCEEDED


def name_of(worker: Process) -> str:
    with database_session() as session:
        return session.scalars(select(Worker.id).where(Worker.pid == worker.pid)).one()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_stock_rq_worker_runs_tasks_right(
    environ: dict[str, str], sessions: Sessions, redis_url: str
) -> None:
    catalog.load(["tests.jobs.obedient"])
    good, bad = submit(value="one at a time"), submit("raise", max_retries=0)
    command = [
        str(Path(sys.executable).with_name("rq")),
        *("worker", "--burst", "--url", redis_url, "-j", "jobs.rq_job.Job"),
        *("-S", "rq.serializers.JSONSerializer", "default:normal"),
    ]
    settings = {"TASK_MODULES": "tests.jobs.obedient", "PYTHONPATH": str(ROOT)}

    subprocess.run(command, cwd=ROOT, env=environ | settings, check=True, timeout=60)

    assert look(good).result == "one at a time"
    assert look(bad).status is Status.FAILED
    assert outcomes(good) == [(1, Outcome.SUCCEEDED, "succeed")]
    assert outcomes(bad) == [(1, Outcome.FAILED, "fail")]
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Worker)) == 0


def test_a_doubled_job_runs_once(a_running_worker: Start, broker: Broker) -> None:
    task_id = submit()
    for _ in range(3):
        broker.push([Delivery(str(task_id), "obey", "default", Priority.NORMAL, 60)])
    a_running_worker()

    finished(task_id)
    eventually(lambda: broker.length("default:normal") == 0)

    assert outcomes(task_id) == [(1, Outcome.SUCCEEDED, "succeed")]


# -- what a handler may ask for ---------------------------------------------------------------


def test_progress_is_seen_while_the_task_runs(a_running_worker: Start) -> None:
    a_running_worker()
    task_id = submit("say", seconds=2)

    eventually(lambda: look(task_id).progress is not None)

    assert look(task_id).progress == {"done": 1, "total": 2, "message": "half way"}


def test_the_logs_of_a_handler_carry_its_task(a_running_worker: Start) -> None:
    worker = a_running_worker()

    task = finished(submit("surround"))

    line = next(line for line in worker.says().splitlines() if "deep inside" in line)
    assert str(task.id) in line


def test_the_idempotency_key_is_the_same_at_every_attempt(a_running_worker: Start) -> None:
    a_running_worker()

    task = finished(submit("log"))

    assert task.result == str(task.id)


def counted() -> int:
    with database_session() as session:
        return (
            session.scalar(
                select(func.count()).select_from(AuditEntry).where(AuditEntry.action == "counted")
            )
            or 0
        )


def test_a_handlers_writes_commit_with_its_outcome(a_running_worker: Start) -> None:
    a_running_worker()

    assert finished(submit("count")).status is Status.SUCCEEDED
    assert counted() == 1


def test_a_failed_handlers_writes_are_undone(a_running_worker: Start) -> None:
    a_running_worker()

    assert finished(submit("count and raise", max_retries=0)).status is Status.FAILED
    assert counted() == 0


def test_every_handler_that_asks_for_a_session_gets_one_at_once(a_running_worker: Start) -> None:
    a_running_worker(worker_concurrency=1)
    seconds = 2.0  # longer than a worker itself would wait for a connection

    ids = [
        submit("ask PostgreSQL", kind="obey.waiting", seconds=seconds, max_retries=0)
        for _ in range(6)
    ]

    for task in map(finished, ids):
        assert task.status is Status.SUCCEEDED
        assert task.started_at is not None and task.finished_at is not None
        assert task.finished_at - task.started_at >= timedelta(seconds=seconds)


def test_replaced_horses_have_connections_of_their_own(
    a_running_worker: Start, sessions: Sessions
) -> None:
    worker = a_running_worker(worker_concurrency=1)
    finished(submit())
    os.kill(worker.horses()[0], signal.SIGKILL)
    eventually(lambda: len(worker.horses()) == 1)

    first, second = finished(submit("count")), finished(submit("submit"))

    assert (first.status, second.status) == (Status.SUCCEEDED, Status.SUCCEEDED)
    assert counted() == 1
    assert finished(UUID(second.result), within=2).status is Status.SUCCEEDED  # pushed at once


def test_an_idle_worker_renews_a_lease_that_is_shorter_than_its_sleep(
    a_running_worker: Start, sessions: Sessions
) -> None:
    a_running_worker(worker_lease=0.6)  # so it is renewed every 0.2 s; an idle sleep takes 1 s
    began, renewals = time.monotonic(), set()

    def have_looked_on() -> bool:
        with sessions() as session:
            renewals.add(session.scalar(select(Worker.last_seen_at)))
        return time.monotonic() - began > 3

    eventually(have_looked_on)

    assert len(renewals) > 5


# -- the end of a worker ----------------------------------------------------------------------


def test_a_stopping_worker_lets_running_tasks_finish(a_running_worker: Start) -> None:
    worker = a_running_worker()
    task_id = submit("say", seconds=1.5)
    begun(task_id)

    worker.tell(signal.SIGTERM)

    assert worker.ends() == 0
    assert look(task_id).status is Status.SUCCEEDED


def test_what_is_unfinished_after_the_grace_period_is_given_back_uncounted(
    a_running_worker: Start, broker: Broker
) -> None:
    worker = a_running_worker(shutdown_grace=0.5)
    task_id = submit("say", seconds=60)
    begun(task_id)

    worker.tell(signal.SIGTERM)

    assert worker.ends() == 0
    task = look(task_id)
    assert (task.status, task.failures, task.crashes) == (Status.PENDING, 0, 0)
    assert outcomes(task_id) == [(1, Outcome.RELEASED, "release")]
    assert broker.length("default:normal") == 1
    with database_session() as session:
        assert session.scalar(select(func.count()).select_from(Worker)) == 0


def test_a_second_signal_ends_the_grace_period(a_running_worker: Start) -> None:
    worker = a_running_worker(shutdown_grace=60)
    task_id = submit("say", seconds=60)
    begun(task_id)

    worker.tell(signal.SIGTERM)
    eventually(lambda: worker_row_is_stopping())
    worker.tell(signal.SIGTERM)

    assert worker.ends(within=5) == 0
    assert look(task_id).status is Status.PENDING


def worker_row_is_stopping() -> bool:
    with database_session() as session:
        return bool(session.scalar(select(Worker.stopping)))


def test_killing_a_worker_takes_its_horses_with_it(a_running_worker: Start) -> None:
    worker = a_running_worker()
    horses = worker.horses()
    assert len(horses) >= 2

    worker.tell(signal.SIGKILL)
    worker.ends()

    eventually(lambda: not any(is_alive(pid) for pid in horses))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_dead_horse_is_replaced_at_once(a_running_worker: Start) -> None:
    worker = a_running_worker(worker_concurrency=1)
    (horse,) = worker.horses()

    os.kill(horse, signal.SIGKILL)

    assert finished(submit(), within=3).status is Status.SUCCEEDED
    assert worker.horses() != [horse]


def test_a_buried_worker_drops_what_it_holds_and_starts_over(
    a_running_worker: Start, sessions: Sessions
) -> None:
    worker = a_running_worker()
    task_id = submit("sleep", seconds=60)
    first = becomes(task_id, Status.RUNNING).worker_id

    with sessions.begin() as session:
        leases.leave(session, first or "")
    actions.cancel(task_id)

    assert finished(submit(), within=10).worker_id != first
    assert "presumed dead" in worker.says()
    assert worker.process.poll() is None
