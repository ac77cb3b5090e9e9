"""Who looked away cannot tell who fell silent."""

from __future__ import annotations

import pytest

from scheduler import attention as module
from scheduler.attention import Attention, elapsed

LEASE = 15.0


@pytest.fixture
def clock(monkeypatch):
    """This machine's clock, in the test's hands."""
    now = [1000.0]
    monkeypatch.setattr(module, "elapsed", lambda: now[0])
    return now


def looks(attention, clock, *gaps):
    """Looks that far apart, as (on PostgreSQL's clock, on ours)."""
    theirs = 5000.0
    attention.note(theirs)
    for gap, ours in gaps:
        theirs += gap
        clock[0] += ours
        attention.note(theirs)


def test_regular_looks_are_trusted(clock):
    attention = Attention(LEASE)
    looks(attention, clock, (0.3, 0.3), (4.9, 4.9), (0.1, 0.1))
    assert attention.is_whole


@pytest.mark.parametrize(
    "gap",
    [(5.1, 5.1), (5.1, 0.2), (0.2, 5.1)],
    ids=["PostgreSQL was away", "PostgreSQL's clock leapt", "this machine stood still"],
)
def test_after_a_gap_no_lease_is_trusted_for_one_lease(clock, gap):
    attention = Attention(LEASE)
    looks(attention, clock, (0.3, 0.3), gap)
    assert not attention.is_whole

    clock[0] += LEASE - 0.1
    assert not attention.is_whole
    clock[0] += 0.2
    assert attention.is_whole


def test_a_clock_that_goes_back_means_nothing(clock):
    attention = Attention(LEASE)
    looks(attention, clock, (-3600.0, 0.3))
    assert attention.is_whole


def test_a_process_that_has_just_begun_is_trusted(clock):
    assert Attention(LEASE).is_whole


def test_the_clock_only_goes_forward():
    assert elapsed() <= elapsed()
