"""The example does what its payload says."""

import time

import pytest

from tasks import catalog
from tasks.errors import InvalidTask
from tasks.lifecycle import Move


def test_it_returns_its_message(attempt):
    assert attempt("example_task", {"message": "Hello"}).result == "Hello"


def test_it_takes_its_time_and_reports_its_progress(attempt):
    started = time.monotonic()

    done = attempt("example_task", {"message": "Hello", "seconds": 0.3})

    assert time.monotonic() - started >= 0.3
    assert done.result == "Hello"
    assert done.progress[0]["total"] == 0.3


@pytest.mark.parametrize(
    ("number", "move"), [(1, Move.RETRY), (2, Move.RETRY), (3, Move.SUCCEED), (4, Move.SUCCEED)]
)
def test_its_first_attempts_fail_as_often_as_asked(attempt, number, move):
    tried = attempt("example_task", {"message": "Hello", "fail_times": 2}, number=number)

    assert tried.report.move is move


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "message"),
        ({"message": None}, "message"),
        ({"message": "x" * 10_001}, "message"),
        ({"message": "x", "seconds": -1}, "seconds"),
        ({"message": "x", "seconds": "NaN"}, "seconds"),
        ({"message": "x", "fail_times": 1.5}, "fail_times"),
        ({"message": "x", "other": 1}, "other"),
    ],
)
def test_what_it_cannot_do_is_refused_at_submission(payload, field):
    with pytest.raises(InvalidTask) as refusal:
        catalog.kind("example_task").check(payload)

    assert list(refusal.value.messages["payload"]) == [field]
