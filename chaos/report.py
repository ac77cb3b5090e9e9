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
from chaos.evidence import Evidence, Strike
from chaos.figures import Recovery, Stretch, recoveries
from chaos.ledger import Answered
from chaos.measured import Figure, measured, unexpected

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
    lease: float  # seconds
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
    def recoveries_known(self) -> bool:
        """Whether the system keeps a record that tells of recoveries."""
        return all(verdict.applies for verdict in self.verdicts)

    @property
    def missed(self) -> list[Figure]:
        """Figures that were not reached."""
        return [figure for figure in self.figures if not figure.holds]

    @property
    def longest_recovery(self) -> float:
        return max((each.longest for each in self.recoveries), default=0.0)


def report_on(evidence: Evidence, verdicts: list[Verdict]) -> Report:
    recovered = recoveries(evidence)
    return Report(
        title=evidence.title,
        lease=evidence.lease,
        seconds=evidence.ended - evidence.began,
        tally=tally(evidence),
        verdicts=verdicts,
        recoveries=recovered,
        figures=list(measured(evidence)),
        answers=answers(evidence),
        notes=evidence.notes,
    )


def tally(evidence: Evidence) -> Tally:
    ledger, rows = evidence.ledger, evidence.rows
    asked, acknowledged = ledger.labelled(), ledger.acknowledged()
    finished = {row.id for row in rows.values() if row.finished}
    statuses = Counter(row.status for row in rows.values())
    doubtful = {label for label, each in asked.items() if each.means is Answered.UNKNOWN}
    labels = Counter(row.label for row in rows.values() if row.label)
    return Tally(
        attempted=sum(ledger.count().values()),
        acknowledged=sum(len(each.ids) for each in ledger.submissions),
        lost=len(acknowledged - finished),
        unexpected=len(unexpected(evidence)),
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
    yield ""
    yield from figures(report.figures)
    if any(each.affected for each in report.recoveries):
        yield ""
        yield from faults(report.recoveries)
    told = ", ".join(f"{status}: {count:,}" for status, count in report.answers.items())
    yield from ["", f"Answers over {report.seconds:.0f} s of load and settling: {told}."]
    yield from ([""] if report.notes else [])
    yield from (f"- {note}" for note in report.notes)


def figures(figures: Iterable[Figure]) -> list[str]:
    return table(
        ["figure", "allowed", "measured", "holds"],
        [
            [each.name, each.allowed, each.measured, "yes" if each.holds else "**no**"]
            for each in figures
        ],
    )


def faults(recoveries: Iterable[Recovery]) -> list[str]:
    """What each fault did, in the order in which they struck."""
    return table(
        ["fault", "lasted", "tasks there", "longest recovery", "meanwhile", "next task done after"],
        [
            [
                each.strike.name + (", alone" if each.strike.alone else ""),
                f"{each.strike.over - each.strike.began:.1f} s",
                f"{each.affected:,}",
                f"{each.longest:.2f} s" + (f", {each.slowest.why}" if each.slowest else ""),
                "; ".join(each.besides),
                "" if each.next_done is None else f"{each.next_done:.2f} s",
            ]
            for each in recoveries
        ],
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def save(reports: Sequence[Report], heading: str, facts: dict[str, str], name: str) -> Path:
    """Write the report for people and for machines; return the first."""
    REPORTS.mkdir(exist_ok=True)
    path = REPORTS / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}.md"
    path.write_text(markdown(reports, heading, facts))
    everything = {
        "facts": facts,
        "reports": [asdict(each) | {"holds": each.holds} for each in reports],
    }
    path.with_suffix(".json").write_text(json.dumps(everything, indent=1, default=str))
    return path


def read(path: Path) -> tuple[dict[str, str], list[Report]]:
    """What was written for machines: the facts, and a report of each system."""
    kept = json.loads(path.read_text())
    return kept["facts"], [restored(each) for each in kept["reports"]]


def restored(kept: dict[str, Any]) -> Report:
    kept = {name: value for name, value in kept.items() if name != "holds"}
    return Report(
        **kept
        | {
            "tally": Tally(**kept["tally"]),
            "verdicts": [Verdict(**each) for each in kept["verdicts"]],
            "figures": [Figure(**each) for each in kept["figures"]],
            "recoveries": [
                Recovery(
                    **each
                    | {
                        "strike": Strike(**each["strike"]),
                        "slowest": Stretch(**each["slowest"]) if each["slowest"] else None,
                    }
                )
                for each in kept["recoveries"]
            ],
        }
    )
