"""A plan is drawn from its seed alone, and keeps to its time."""

from __future__ import annotations

import pytest

from chaos import plan
from chaos.faults import TABLE
from chaos.run import faults_named

CALM = 4.0  # seconds


def test_a_seed_draws_the_same_plan_twice():
    assert plan.draw(7, 2, calm=CALM) == plan.draw(7, 2, calm=CALM)
    assert plan.draw(7, 2, calm=CALM) != plan.draw(8, 2, calm=CALM)


@pytest.mark.parametrize("minutes", [0.3, 1, 2, 10])
def test_a_plan_fits_into_its_minutes(minutes: float):
    assert plan.draw(1, minutes, faults_named([]), calm=CALM).seconds <= minutes * 60


def test_ten_minutes_have_every_fault_once_and_all_that_is_measured():
    faults = faults_named([])

    drawn = plan.draw(1, 10, faults, calm=CALM)

    assert sorted(map(str, drawn.singles)) == sorted(map(str, faults))
    assert tuple(map(str, drawn.measured)) == plan.ALONE


def test_whoever_does_not_tell_when_it_is_calm_is_not_measured():
    assert not plan.draw(1, 10).measured


def test_every_figure_has_its_fault():
    drawn = plan.every_figure(TABLE, CALM)

    assert tuple(map(str, drawn.measured)) == plan.EVERY_FIGURE
