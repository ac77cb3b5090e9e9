"""Medians, ranges and ratios are told beside their targets."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.charts import Bar, bars
from benchmarks.figures import Figures, Spread, ratio
from benchmarks.report import markdown, targets_table
from benchmarks.targets import Target
from benchmarks.usage import cpu_seconds, memory_bytes


@pytest.fixture
def figures() -> Figures:
    """The service drains 9,000 to 12,000 a second, Dramatiq 5,000 in each round."""
    found = Figures(titles={"service": "Ours", "dramatiq": "Dramatiq"})
    for ours in (10_000, 9_000, 12_000):
        found.add("drain", "service", {"tasks_per_s": ours})
        found.add("drain", "dramatiq", {"tasks_per_s": 5_000})
    return found


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    assert ratio([10.0, 20.0, 30.0], [10.0, 5.0, 30.0]) == Spread(1.0, 1.0, 4.0)


def test_what_was_not_measured_has_no_ratio() -> None:
    assert ratio([1.0], []) is None


@pytest.mark.parametrize(("bound", "verdict"), [(1.9, "yes"), (2.1, "**no**")])
def test_a_target_stands_beside_what_was_reached(
    figures: Figures, monkeypatch: pytest.MonkeyPatch, bound: float, verdict: str
) -> None:
    target = Target(
        "drain", "Dramatiq", ("drain", "tasks_per_s"), bound,
        theirs=("drain", "dramatiq", "tasks_per_s"),
    )  # fmt: skip
    monkeypatch.setattr("benchmarks.report.TARGETS", [target])

    (row,) = targets_table(figures).splitlines()[2:]

    assert row == f"| drain | Dramatiq | ≥ {bound} | 2.00 (1.80 to 2.40) | {verdict} |"


def test_the_better_of_two_rivals_is_compared_with(figures: Figures) -> None:
    figures.add("drain", "celery", {"tasks_per_s": 1_000})
    target = Target(
        "drain", "the better", ("drain", "tasks_per_s"), 2,
        theirs=("drain", "celery", "tasks_per_s"), better_of="dramatiq",
    )  # fmt: skip

    reached = target.reached(figures)

    assert reached is not None
    assert reached.middle == 2


def test_of_many_figures_the_one_with_the_highest_median_is_told(figures: Figures) -> None:
    for fast, slow in ((1, 30), (90, 40), (2, 35)):  # a fast one that was once disturbed
        figures.add("growth", "service", {"query_fast": fast, "query_slow": slow, "p99_ms": 99})
    target = Target("slowest", "", ("growth", "query_"), 50, at="most", highest=True)

    reached = target.reached(figures)

    assert reached == Spread(35, 30, 40)
    assert target.reached(Figures()) is None


def test_figures_survive_their_file(figures: Figures, tmp_path: Path) -> None:
    figures.write(tmp_path / "results.json")

    assert Figures.read(tmp_path / "results.json") == figures


def test_the_report_tells_medians_and_ranges(figures: Figures) -> None:
    told = markdown(figures, {"drain": "Draining"})

    assert "| Ours | 10,000 (9,000 to 12,000) |" in told
    assert "| Dramatiq | 5,000 |" in told


def test_a_chart_is_well_formed_and_its_bars_are_in_proportion() -> None:
    chart = bars("a < b", "per second", [Bar("ours", 10, 9, 12, ours=True), Bar("theirs", 5, 5, 5)])

    rectangles = ElementTree.fromstring(chart).iter("{http://www.w3.org/2000/svg}rect")
    ours, theirs = (float(each.attrib["width"]) for each in rectangles)
    assert ours == pytest.approx(2 * theirs, abs=0.1)


def test_a_process_that_works_costs_cpu_time_and_memory() -> None:
    here = [os.getpid()]

    before = cpu_seconds(here)
    while cpu_seconds(here) < before + 0.02:
        sum(range(10_000))

    assert memory_bytes(here) > 1_000_000
