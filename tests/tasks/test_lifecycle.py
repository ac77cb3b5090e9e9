"""The table in tasks/lifecycle.py is the whole truth about what may happen to a task."""

from __future__ import annotations

import pytest

from dev import lifecycle_page
from tasks import store
from tasks.errors import MoveRefused
from tasks.lifecycle import FINISHED, Force, Move, Outcome, Status
from tests.rows import ago

NEEDED = {Status.RUNNING: {"worker_id": "worker-1", "started_at": ago(), "attempt": 1}}
NEEDED[Status.SCHEDULED] = {"run_at": ago(hours=-1)}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("move", Move)
def test_the_database_allows_exactly_the_moves_in_the_table(session, a_task, move, status):
    task = a_task(status)

    if status in move.sources:
        moved, was = store.advance(session, task.id, move, **NEEDED.get(move.target, {}))
        assert (was, moved.status) == (status, move.target)
    else:
        with pytest.raises(MoveRefused) as refused:
            store.advance(session, task.id, move)
        assert refused.value.found is status


def test_every_status_can_be_reached_and_an_unfinished_one_can_be_left():
    entered = {move.target for move in Move} | {Status.SCHEDULED, Status.PENDING}
    left = {source for move in Move for source in move.sources}

    assert entered == set(Status)
    assert set(Status) - FINISHED <= left


def test_only_a_client_brings_back_a_finished_task():
    bringing_back = [move for move in Move if move.sources & FINISHED]

    assert {move.by for move in bringing_back} == {Force.CLIENT}


def test_no_move_stays_where_it_starts():
    assert not [move for move in Move if move.target in move.sources]


def test_the_page_about_it_is_up_to_date():
    assert lifecycle_page.PAGE.read_text() == lifecycle_page.page(), (
        "run `python -m dev.lifecycle_page`"
    )


def test_the_page_explains_every_word():
    for member in (*Status, *Outcome):
        assert lifecycle_page.said(member), member
