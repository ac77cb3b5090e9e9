"""A worker lives as long as its row; its lease is how long it is believed alive."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from tasks import leases
from tasks.lifecycle import Status
from tasks.models import Worker

LEASE = timedelta(seconds=15)
MOMENT = timedelta(milliseconds=1)


def register(session, id="w", lease=LEASE):
    leases.register(
        session, id, host="h", pid=7, queues=["q"], kinds=["k"], concurrency=2, lease=lease
    )
    session.flush()


def left(session, id="w") -> timedelta:
    return session.scalar(select(Worker.expires_at - func.now()).where(Worker.id == id))


def test_a_life_begins_with_a_whole_lease(session):
    register(session)

    assert left(session) == LEASE
    assert leases.alive(session) == {"w"}
    worker = session.get(Worker, "w")
    assert (worker.host, worker.pid, worker.queues, worker.kinds) == ("h", 7, ["q"], ["k"])


def test_a_life_begins_once_however_often_the_answer_is_lost(session):
    register(session, lease=LEASE / 2)
    register(session)

    assert left(session) == LEASE
    assert leases.alive(session) == {"w"}


def test_renewing_extends_the_lease_and_adds_what_was_done(session, a_worker):
    a_worker("w", lease=1, succeeded=5, failed=1)

    assert leases.renew(session, "w", LEASE, stopping=True, succeeded=2, failed=3)

    worker = session.get(Worker, "w")
    assert left(session) == LEASE
    assert (worker.stopping, worker.succeeded, worker.failed) == (True, 7, 4)
    assert worker.last_seen_at == session.scalar(select(func.now()))


def test_a_late_renewal_is_welcome_while_nobody_took_over(session, a_worker):
    a_worker("w", lease=-3600)

    assert leases.renew(session, "w", LEASE)
    assert left(session) == LEASE


def test_whoever_is_buried_cannot_renew(session, a_worker):
    a_worker("w", lease=-1)

    assert leases.bury_silent(session, MOMENT) == ["w"]

    assert not leases.renew(session, "w", LEASE)
    assert leases.alive(session) == set()


def test_only_the_silent_are_buried(session, a_worker):
    a_worker("alive", lease=1)
    a_worker("silent", lease=-1)

    assert leases.bury_silent(session, MOMENT) == ["silent"]


def test_whoever_leaves_is_gone(session, a_worker):
    a_worker("w")

    leases.leave(session, "w")
    leases.leave(session, "w")

    assert leases.alive(session) == set()


def test_orphans_are_running_tasks_of_nobody_alive(session, a_task, a_worker):
    a_worker("alive")
    a_worker("silent", lease=-1)  # not buried: it may still come back
    orphan = a_task(Status.RUNNING, worker_id="gone")
    a_task(Status.RUNNING, worker_id="alive")
    a_task(Status.RUNNING, worker_id="silent")
    a_task(Status.PENDING, worker_id="gone", attempt=1)

    assert [task.id for task in leases.orphans(session, 10)] == [orphan.id]


def test_two_schedulers_see_different_orphans(sessions, a_task):
    for _ in range(3):
        a_task(Status.RUNNING, worker_id="gone")
    with sessions.begin() as one, sessions.begin() as other:
        first = {task.id for task in leases.orphans(one, 2)}
        second = {task.id for task in leases.orphans(other, 2)}

    assert (len(first), len(second)) == (2, 1)
    assert not first & second


@pytest.mark.parametrize("forgets", [True, False])
def test_a_heartbeat_need_not_wait_for_the_disk(session, forgets):
    if forgets:
        leases.forget_disk(session)

    assert session.scalar(text("SHOW synchronous_commit")) == ("off" if forgets else "on")
