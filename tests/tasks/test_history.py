"""Any task's life can be told, though no row is written to tell it."""

from __future__ import annotations

import random
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from tasks import actions, history, store
from tasks.errors import TaskNotFound
from tasks.lifecycle import Force, Move, Outcome, Status
from tasks.models import Task
from tasks.store import Holder, Settlement
from tests.rows import ago
from tests.tasks.test_store import a_row

ENDS = {
    Move.SUCCEED: Outcome.SUCCEEDED,
    Move.RETRY: Outcome.FAILED,
    Move.FAIL: Outcome.TIMED_OUT,
    Move.RELEASE: Outcome.RELEASED,
    Move.SNOOZE: Outcome.RELEASED,
    Move.RESCUE: Outcome.LOST,
    Move.GIVE_UP: Outcome.CRASHED,
}


class Life:
    """A task that is moved about, and what it should remember of it."""

    def __init__(self, sessions, **row) -> None:
        self.sessions = sessions
        row = a_row(**row)
        self.id: UUID = row["id"]
        with sessions.begin() as session:
            self.status = Status(store.insert_tasks(session, [row])[self.id].status)
        self.told = [("submit", None, self.status)]

    def make(self, move: Move) -> None:
        with self.sessions.begin() as session:
            if move is Move.EXPIRE:
                late = update(Task).where(Task.id == self.id).values(expires_at=ago(seconds=1))
                session.execute(late)
                assert store.expire(session, 10)
            elif move is Move.DISPATCH:
                store.advance(session, self.id, move)
            elif move is Move.START:
                assert store.start_many(session, [str(self.id)], "w", ["example_task"])
            elif move in ENDS:
                task = store.find(session, self.id)
                held = Holder(task.attempt, "w")
                wait = 60.0 if move.target is Status.SCHEDULED else None
                end = Settlement(str(self.id), held, move, ENDS[move], wait=wait)
                assert store.settle_many(session, [end])
        if move is Move.CANCEL:
            actions.cancel(self.id)
        if move is Move.RERUN:
            actions.rerun(self.id)
        self.told.append((move.name.lower(), self.status, move.target))
        self.status = move.target

    def history(self) -> list[history.Event]:
        with self.sessions.begin() as session:
            return history.history(session, self.id)


@pytest.mark.parametrize("seed", range(40))
def test_every_move_of_any_life_is_told(sessions, a_worker, seed):
    a_worker("w")
    chance = random.Random(seed)
    life = Life(sessions, delay=chance.choice([None, 60.0]))
    for _ in range(chance.randint(0, 14)):
        possible = [move for move in Move if life.status in move.sources]
        if not possible:
            break
        life.make(chance.choice(possible))

    told = life.history()

    assert [(each.move, each.from_status, each.to_status) for each in told] == life.told
    assert [each.at for each in told] == sorted(each.at for each in told)


def test_it_says_who_moved_the_task_and_in_which_attempt(sessions, a_worker):
    a_worker("w")
    life = Life(sessions)
    for move in (Move.START, Move.RETRY, Move.DISPATCH, Move.START, Move.SUCCEED):
        life.make(move)

    assert [(each.move, each.by, each.attempt) for each in life.history()] == [
        ("submit", Force.CLIENT, None),
        ("start", Force.WORKER, 1),
        ("retry", Force.WORKER, 1),
        ("dispatch", Force.CLOCK, None),
        ("start", Force.WORKER, 2),
        ("succeed", Force.WORKER, 2),
    ]


def test_a_task_of_a_schedule_was_submitted_by_the_clock(sessions):
    life = Life(sessions, schedule_id=uuid4(), scheduled_for=ago())

    assert life.history()[0].by is Force.CLOCK


def test_a_task_that_does_not_exist_has_no_history(session):
    with pytest.raises(TaskNotFound):
        history.history(session, uuid4())
