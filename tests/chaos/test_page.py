"""docs/chaos.md is made of what was written for machines, and says what it says."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from chaos import page, report
from chaos.checker import Verdict
from chaos.evidence import Strike
from chaos.figures import Recovery, Stretch, Why
from chaos.measured import FLUSHED, LOST, Figure
from chaos.report import Report, Tally

FACTS = {"command": "make chaos", "machine": "2 CPUs", "seed": "7"}


def a_report(title: str = "Distributed Task Queue", *, violated: int = 0, lost: int = 0) -> Report:
    strike = Strike("redis: FLUSHALL", 1.0, 2.0)
    slowest = Stretch("0190-task", 1.5, 3.0, Why.OVERDUE)
    return Report(
        title=title,
        lease=3.0,
        seconds=60.0,
        tally=Tally(10, 10, lost, 0, 0, 1, 0, 9, 1, 0, 12),
        verdicts=[Verdict(1, "Nothing is lost.", 10, violated, ["lost: 0190-task"] * violated)],
        recoveries=[Recovery(strike, 3, slowest, 1.0, [], 0.5, [])],
        figures=[Figure(LOST, lost, 0), Figure(FLUSHED, 4.25, 10.0, "s")],
        answers={"201": 10},
        notes=[],
    )


def plain() -> Report:
    found = a_report("Plain RQ", violated=3, lost=3)
    found.verdicts.append(Verdict(2, "No gap.", applies=False))
    found.recoveries = []
    return found


def lines_with(text: str, words: str) -> list[str]:
    return [line for line in text.splitlines() if words in line]


def test_a_report_survives_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    written = a_report(violated=1)

    path = report.save([written], "A run", FACTS, "seed-7")
    facts, (kept,) = report.read(path.with_suffix(".json"))

    assert facts == FACTS
    assert asdict(kept) == asdict(written)
    assert kept.holds is False
    assert json.loads(path.with_suffix(".json").read_text())["reports"][0]["holds"] is False


def test_ours_stands_beside_plain_rq():
    ours = a_report()
    ours.verdicts.append(Verdict(2, "No gap.", 5))

    told = page.text([(FACTS, plain()), (FACTS, ours)])

    assert lines_with(told, "| lost |")[0] == "| lost | 3 | 0 |"
    assert lines_with(told, "1. Nothing is lost.") == [
        "| 1. Nothing is lost. | **3** of 10 | 0 of 10 |"
    ]
    assert lines_with(told, "2. No gap.") == ["| 2. No gap. | no record | 0 of 5 |"]
    assert lines_with(told, FLUSHED)[0] == f"| {FLUSHED} | ≤ 10 s | 4.25 s | yes |"
    assert "redis: FLUSHALL | 1.0 s" in told


def test_a_figure_that_was_missed_in_one_run_is_missed():
    slow = a_report()
    slow.figures[1] = Figure(FLUSHED, 11.0, 10.0, "s")

    told = page.text([(FACTS, a_report()), (FACTS | {"seed": "8"}, slow)])

    assert lines_with(told, FLUSHED)[0] == f"| {FLUSHED} | ≤ 10 s | 4.25 s | 11.00 s | **no** |"
    assert "| figure | allowed | seed 7 | seed 8 | holds |" in told
