"""The report of a run, read like Jepsen's total-queue checker; for people and for machines."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chaos.checker import Verdict
from chaos.evidence import Evidence
from chaos.figures import Recovery, recoveries
from chaos.ledger import Answered
from chaos.measured import Figure, measured

REPORTS = Path(__file__).resolve().parent / "reports"


@dataclass
class Tally:
    """What became of everything that was asked for, in tasks."""

    attempted: int
    acknowledged: int
    lost: int  # acknowledged, and not finished though there was time
    unexpected: int
    stuck: int  # not finished, whether acknowledged or not
    duplicated: int  # tasks that were executed more than once
    recovered: int  # of requests without an answer, and there after all
    succeeded: int
    failed: int
    cancelled: int
    executions: int


@dataclass
class Report:
    """One system's turn."""

    title: str
    seconds: float
    tally: Tally
    verdicts: list[Verdict]
    recoveries: list[Recovery]
    figures: list[Figure]
    answers: dict[str, int]
    notes: list[str]

    @property
    def holds(self) -> bool:
        return all(verdict.holds for verdict in self.verdicts)

    @property
    def longest_recovery(self) -> float:
        return max((each.longest for each in self.recoveries), default=0.0)


def report_on(evidence: Evidence, verdicts: list[Verdict]) -> Report:
    recovered = recoveries(evidence)
    return Report(
        title=evidence.title,
        seconds=evidence.ended - evidence.began,
        tally=tally(evidence),
        verdicts=verdicts,
        recoveries=recovered,
        figures=list(measured(evidence, recovered)),
        answers=answers(evidence),
        notes=evidence.notes,
    )


def tally(evidence: Evidence) -> Tally:
    ledger, rows = evidence.ledger, evidence.rows
    asked, acknowledged = ledger.labelled(), ledger.acknowledged()
    finished = {row.id for row in rows.values() if row.finished}
    statuses = Counter(row.status for row in rows.values())
    doubtful = {label for label, each in asked.items() if each.means is Answered.UNKNOWN}
    welcome = {label for label, each in asked.items() if each.means is not Answered.REFUSED}
    labels = Counter(row.label for row in rows.values() if row.label)
    return Tally(
        attempted=sum(ledger.count().values()),
        acknowledged=sum(len(each.ids) for each in ledger.submissions),
        lost=len(acknowledged - finished),
        unexpected=sum(n for label, n in labels.items() if label not in welcome),
        stuck=sum(not row.finished for row in rows.values()),
        duplicated=sum(repeated(each) for each in evidence.executions.values()),
        recovered=sum(labels[label] for label in doubtful),
        succeeded=statuses["succeeded"],
        failed=statuses["failed"],
        cancelled=statuses["cancelled"],
        executions=sum(map(len, evidence.executions.values())),
    )


def repeated(executions: Sequence[Any]) -> bool:
    """Executed again though an execution had come to a good end."""
    good = [index for index, each in enumerate(executions) if each.how == "returned"]
    return bool(good) and good[0] < len(executions) - 1


def answers(evidence: Evidence) -> dict[str, int]:
    """How often each status was answered."""
    counts = Counter(
        str(answer.status or ("no answer" if answer.reached else "not reached"))
        for _, answer in evidence.ledger.answers
    )
    return dict(sorted(counts.items()))


def markdown(reports: Sequence[Report], heading: str, facts: dict[str, str]) -> str:
    """All systems beside each other, then each in detail."""
    lines = [f"# {heading}", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    lines += table(
        ["", *(report.title for report in reports)],
        [
            *(
                [name, *(f"{asdict(report.tally)[name]:,}" for report in reports)]
                for name in asdict(reports[0].tally)
            ),
            ["longest recovery", *(f"{each.longest_recovery:.1f} s" for each in reports)],
            ["verdict", *("holds" if each.holds else "**broken**" for each in reports)],
        ],
    )
    for report in reports:
        lines += ["", f"## {report.title}", "", *details(report)]
    return "\n".join(lines) + "\n"


def details(report: Report) -> Iterable[str]:
    yield from table(
        ["invariant", "looked at", "violations"],
        [
            [
                f"{each.number}. {each.sentence}",
                f"{each.checked:,}",
                f"**{each.violated:,}**" if each.violated else "0",
            ]
            for each in report.verdicts
            if each.applies
        ],
    )
    for verdict in report.verdicts:
        if verdict.violated:
            yield from ["", f"**{verdict.number}. {verdict.sentence}**", ""]
            yield from (f"- {' '.join(example.split())}" for example in verdict.examples or ())
    if report.figures:
        yield ""
        yield from table(
            ["figure", "measured", "at most"],
            [[each.name, f"{each}", f"{each.limit:g}"] for each in report.figures],
        )
    if any(each.affected for each in report.recoveries):
        yield ""
        yield from table(
            ["fault", "lasted", "tasks there", "longest recovery", "next task done after"],
            [
                [
                    each.strike.name,
                    f"{each.strike.over - each.strike.began:.1f} s",
                    f"{each.affected:,}",
                    f"{each.longest:.2f} s" + (f", {each.slowest.why}" if each.slowest else ""),
                    "" if each.next_done is None else f"{each.next_done:.2f} s",
                ]
                for each in report.recoveries
            ],
        )
    told = ", ".join(f"{status}: {count:,}" for status, count in report.answers.items())
    yield from ["", f"Answers over {report.seconds:.0f} s of load and settling: {told}."]
    yield from ([""] if report.notes else [])
    yield from (f"- {note}" for note in report.notes)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def save(reports: Sequence[Report], heading: str, facts: dict[str, str]) -> Path:
    """Write the report for people and for machines; return the first."""
    REPORTS.mkdir(exist_ok=True)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-seed-{facts['seed']}"
    path = REPORTS / f"{name}.md"
    path.write_text(markdown(reports, heading, facts))
    everything = {
        "facts": facts,
        "reports": [asdict(each) | {"holds": each.holds} for each in reports],
    }
    path.with_suffix(".json").write_text(json.dumps(everything, indent=1, default=str))
    return path
