"""Concurrent submissions share commits, and none pays for another's mistake."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest
from psycopg2 import IntegrityError
from sqlalchemy import func, select, text

from tasks import database
from tasks.errors import DatabaseUnavailable
from tasks.lifecycle import Status
from tasks.models import Task
from tasks.shared_commit import SharedCommit
from tests.eventually import eventually
from tests.tasks.test_store import a_row


@pytest.fixture
def commits(sessions):
    """How many transactions have stored tasks."""

    def count() -> int:
        with sessions.begin() as session:
            return session.scalar(text("SELECT count(DISTINCT xmin::text) FROM tasks"))

    return count


class Gate:
    """A lock on the table that holds every insert back."""

    def __init__(self, sessions) -> None:
        self._session = sessions()

    def __enter__(self) -> None:
        self._session.execute(text("LOCK TABLE tasks IN EXCLUSIVE MODE"))

    def __exit__(self, *_: object) -> None:
        self._session.rollback()
        self._session.close()


def waiting(together: SharedCommit) -> int:
    return len(together._waiting)


def test_a_lonely_submission_is_committed_at_once(sessions, commits):
    row = a_row()

    stored = SharedCommit().insert([row])

    assert stored[row["id"]].status == Status.PENDING
    assert commits() == 1


def test_what_arrives_during_a_commit_goes_together_next(sessions, commits, broker):
    together = SharedCommit()
    batches = [[a_row() for _ in range(n)] for n in (1, 1, 2, 3, 1, 1)]
    with ThreadPoolExecutor(len(batches)) as callers:
        with Gate(sessions):
            first = callers.submit(together.insert, batches[0])
            eventually(lambda: together._busy and not waiting(together))
            rest = [callers.submit(together.insert, batch) for batch in batches[1:]]
            eventually(lambda: waiting(together) == 5)
        answers = [first.result(), *(each.result() for each in rest)]

    assert commits() == 2
    assert [set(answer) for answer in answers] == [{row["id"] for row in rows} for rows in batches]
    assert broker.length("default:normal") == 9


def test_one_callers_bad_row_fails_nobody_else(sessions):
    together, taken = SharedCommit(), a_row()
    together.insert([taken])
    with ThreadPoolExecutor(5) as callers:
        with Gate(sessions):
            callers.submit(together.insert, [a_row()])
            eventually(lambda: together._busy and not waiting(together))
            bad = callers.submit(together.insert, [taken])
            good = [callers.submit(together.insert, [a_row()]) for _ in range(3)]
            eventually(lambda: waiting(together) == 4)
        assert all(len(each.result()) == 1 for each in good)
        assert isinstance(bad.exception(), IntegrityError)

    assert len(together.insert([a_row()])) == 1


def test_an_outage_is_told_to_everybody_who_was_waiting(sessions, postgres_url):
    together = SharedCommit()
    database.close()
    broken = postgres_url.rpartition("/")[0] + "/nowhere"
    database.open(broken)
    try:
        with ThreadPoolExecutor(4) as callers:
            answers = [callers.submit(together.insert, [a_row()]) for _ in range(8)]
            assert all(isinstance(each.exception(), DatabaseUnavailable) for each in answers)
    finally:
        database.close()
        database.open(postgres_url)

    assert len(together.insert([a_row()])) == 1


def test_nobody_waits_twice_for_a_server_that_does_not_answer(postgres_url):
    together, patience = SharedCommit(), 1.0
    with closing(socket.create_server(("127.0.0.1", 0), backlog=16)) as deaf:
        database.open(f"postgresql+psycopg2://nobody@127.0.0.1:{deaf.getsockname()[1]}/nowhere",
                      patience=patience)  # fmt: skip
        began = time.monotonic()
        with ThreadPoolExecutor(8) as callers:
            first = callers.submit(together.insert, [a_row()])
            eventually(lambda: together._busy)
            rest = [callers.submit(together.insert, [a_row()]) for _ in range(6)]
            assert all(isinstance(each.exception(), DatabaseUnavailable) for each in [first, *rest])
        assert time.monotonic() - began < 1.7 * patience
    database.close()


def test_nothing_is_lost_or_doubled_under_load(sessions):
    together = SharedCommit()
    known: list[object] = []
    guard = threading.Lock()

    def caller(_: int) -> None:
        for _ in range(10):
            row = a_row()
            with suppress(DatabaseUnavailable):
                stored = together.insert([row])
                with guard:
                    known.extend(stored)

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(caller, range(8)))

    with sessions.begin() as session:
        assert session.scalar(select(func.count()).select_from(Task)) == len(set(known)) == 80
