"""What a transaction leaves pending is pushed once it is committed, and only then."""

from __future__ import annotations

from sqlalchemy.orm import Session

from tasks import database, store
from tasks.lifecycle import Move, Outcome, Status
from tests.tasks.test_store import a_row, word

QUEUE = "default:normal"


def test_a_committed_task_is_in_its_queue(sessions, broker):
    row = a_row()
    with sessions.begin() as session:
        store.insert_tasks(session, [row])
        assert broker.length(QUEUE) == 0

    assert broker.head(QUEUE, 10) == [str(row["id"])]
    assert broker.redis.hget(f"rq:job:{row['id']}", "description") == b"example_task"


def test_nothing_is_pushed_for_a_transaction_that_is_rolled_back(sessions, broker):
    with sessions() as session:
        store.insert_tasks(session, [a_row()])
        session.rollback()
        session.commit()

    assert broker.length(QUEUE) == 0


def test_a_scheduled_task_is_not_pushed(sessions, broker):
    with sessions.begin() as session:
        store.insert_tasks(session, [a_row(delay=60.0)])

    assert broker.length(QUEUE) == 0


def test_every_move_to_pending_pushes(sessions, broker, a_task):
    due, failed = a_task(Status.SCHEDULED), a_task(Status.FAILED)
    with sessions.begin() as session:
        store.advance(session, due.id, Move.DISPATCH)
        store.advance(session, failed.id, Move.RERUN)

    assert broker.head(QUEUE, 10) == [str(due.id), str(failed.id)]


def test_what_a_worker_gives_back_goes_to_the_front(sessions, broker, a_task):
    task, row = a_task(Status.RUNNING), a_row()
    with sessions.begin() as session:
        store.insert_tasks(session, [row])
    with sessions.begin() as session:
        store.settle_many(session, [word(task, Move.RELEASE, Outcome.RELEASED)])

    assert broker.head(QUEUE, 10) == [str(task.id), str(row["id"])]


def test_a_savepoint_does_not_push_what_is_not_committed(sessions, broker):
    row = a_row()
    with sessions.begin() as session:
        with session.begin_nested():
            store.insert_tasks(session, [row])
        assert broker.length(QUEUE) == 0

    assert broker.head(QUEUE, 10) == [str(row["id"])]


def test_a_savepoint_that_is_rolled_back_takes_nothing_else_with_it(sessions, broker):
    row = a_row()
    with sessions.begin() as session:
        store.insert_tasks(session, [row])
        session.begin_nested().rollback()

    assert broker.head(QUEUE, 10) == [str(row["id"])]


def test_a_session_of_the_callers_keeps_the_same_promise(sessions, broker):
    row = a_row()
    with Session(database.engine()) as theirs:
        database.follow(theirs)
        database.follow(theirs)
        store.insert_tasks(theirs, [row])
        theirs.commit()

    assert broker.head(QUEUE, 10) == [str(row["id"])]
