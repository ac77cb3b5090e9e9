"""When a failed attempt is tried again, and how long after."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.retry import Backoff

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("terms", "waits"),
    [
        ({}, [1, 2, 4, 8, 16]),
        ({"first_wait": 3 * SECOND, "factor": 3.0}, [3, 9, 27, 81, 243]),
        ({"growth": "linear", "first_wait": 2 * SECOND}, [2, 4, 6, 8, 10]),
        ({"growth": "fixed", "first_wait": 5 * SECOND}, [5, 5, 5, 5, 5]),
        ({"max_wait": 3 * SECOND}, [1, 2, 3, 3, 3]),
        ({"first_wait": timedelta()}, [0, 0, 0, 0, 0]),
    ],
)
def test_waits_grow_as_the_policy_says(terms, waits):
    backoff = Backoff(jitter=False, **terms)

    assert [backoff.wait(retry).total_seconds() for retry in range(1, 6)] == waits


@given(retry=st.integers(1, 100_000), growth=st.sampled_from(["exponential", "linear", "fixed"]))
def test_with_jitter_a_wait_is_between_nothing_and_the_longest(retry, growth):
    backoff = Backoff(growth=growth)

    assert timedelta() <= backoff.wait(retry) <= backoff.longest_wait(retry) <= backoff.max_wait


def test_tasks_that_failed_together_do_not_come_back_together():
    backoff = Backoff()

    assert len({backoff.wait(8) for _ in range(20)}) > 10


@pytest.mark.parametrize(
    ("error", "tried_again"),
    [(OSError(), True), (ConnectionError(), True), (PermissionError(), False), (KeyError(), False)],
    ids=repr,
)
def test_some_errors_are_worth_another_attempt(error, tried_again):
    backoff = Backoff(retry_on=(OSError,), give_up_on=(PermissionError,))

    assert backoff.tries_again_after(error) is tried_again


def test_by_default_every_exception_is():
    assert Backoff().tries_again_after(ValueError())
    assert not Backoff().tries_again_after(SystemExit())


@pytest.mark.parametrize(
    "impossible",
    [
        {"max_retries": -1},
        {"first_wait": -SECOND},
        {"max_wait": -SECOND},
        {"growth": "wild"},
        {"factor": 0.5},
    ],
    ids=lambda terms: next(iter(terms)),
)
def test_impossible_terms_are_refused_at_once(impossible):
    with pytest.raises(ValueError, match="."):
        Backoff(**impossible)
