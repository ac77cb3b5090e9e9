"""docs/chaos.md: the reports of several runs beside each other, and what their figures mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from chaos.measured import TOLD
from chaos.report import Report, read, table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "chaos.md"
SHOWN = 2  # violations of each invariant that are told of those who are expected to fail

INTRODUCTION = """\
# What was promised, after everything was broken

`make chaos` starts the real processes on real servers of their own, with a TCP proxy on each
connection. Clients submit tasks of every sort (quick and slow ones, on threads, failing, timing
out, killing their process, delayed, with keys, in batches), cancel them, run them again, and write
down what they asked and what was answered. Meanwhile processes and servers are killed, hung,
restarted, emptied, filled and cut off, one fault after the other and then several at a time. Then
all is mended, and once everything has settled each promise is checked against the clients' ledger,
against what handlers wrote into a file while they ran, and against a trigger that noted every
change of status. The faults are a table in `chaos/faults/`, the promises one in
`chaos/invariants/`.

The same is done to *plain RQ*, a small service as RQ's documentation would have it
(`chaos/plain_rq/`): it commits a row before it answers, uses RQ's retries, and keeps the row in
RQ's callbacks. It shows that the checker can fail.
"""
FAULTS = """\
The longest time a task was stranded after each fault: held by a worker that was lost, overdue, left
behind by its queue, or waiting while nothing was started. Except where it is measured, a fault does
not wait until the one before is recovered from; so a time may be that of several.
"""


def write(paths: Iterable[Path], page: Path = PAGE) -> Path:
    """Write the page from the reports in these files."""
    kept = [read(path) for path in paths]
    page.write_text(text([(facts, each) for facts, reports in kept for each in reports]))
    return page


def text(runs: Sequence[tuple[dict[str, str], Report]]) -> str:
    heads = [head(facts, report) for facts, report in runs]
    reports = [report for _, report in runs]
    ours = [
        (name, each) for name, each in zip(heads, reports, strict=True) if each.recoveries_known
    ]
    lines = [INTRODUCTION, *reproduce([facts for facts, _ in runs]), ""]
    lines += ["## What became of the tasks", "", *beside(heads, reports, TALLY), ""]
    lines += ["## Figures", "", *figures(ours), "", *meanings(ours), ""]
    lines += ["## Promises", "", "Violations, and how often each was looked at.", ""]
    lines += [*promises(heads, reports), ""]
    for name, each in zip(heads, reports, strict=True):
        lines += violations(name, each)
    lines += ["## Faults", "", FAULTS, *faults(ours)]
    return "\n".join(lines) + "\n"


def head(facts: dict[str, str], report: Report) -> str:
    """What a column is called."""
    if not report.recoveries_known:
        return report.title
    return "default settings" if "default" in report.title else f"seed {facts['seed']}"


def reproduce(facts: Sequence[dict[str, str]]) -> Iterator[str]:
    commands = list(dict.fromkeys(each["command"] for each in facts))
    machines = list(dict.fromkeys(each["machine"] for each in facts))
    yield from ["This page was written by", "", "```bash", *commands, "```", ""]
    yield f"on {' and '.join(machines)}. A seed decides which faults strike, and in which order;"
    yield "a second run of it meets the same faults at other moments."


Cell = Callable[[Report], str]

TALLY: dict[str, Cell] = {
    "minutes": lambda each: f"{each.seconds / 60:.1f}",
    "worker lease": lambda each: f"{each.lease:g} s" if each.recoveries_known else "none",
    **{
        name: (lambda each, name=name: f"{asdict(each.tally)[name]:,}")  # type: ignore[misc]  # a default argument binds the name
        for name in (
            "attempted", "acknowledged", "lost", "unexpected", "stuck", "duplicated", "recovered",
            "succeeded", "failed", "cancelled", "executions",
        )
    },
    "verdict": lambda each: "holds" if each.holds else "**broken**",
}  # fmt: skip


def beside(heads: Sequence[str], reports: Sequence[Report], rows: dict[str, Cell]) -> list[str]:
    return table(
        ["", *heads], [[name, *(cell(each) for each in reports)] for name, cell in rows.items()]
    )


def figures(ours: Sequence[tuple[str, Report]]) -> list[str]:
    """One row for each figure, one column for each run."""
    found = [{figure.name: figure for figure in report.figures} for _, report in ours]
    known = {name: figure for each in found for name, figure in each.items()}
    rows = []
    for name in sorted(known, key=list(TOLD).index):
        mine = [each.get(name) for each in found]
        held = all(figure.holds for figure in mine if figure)
        cells = [figure.measured if figure else "" for figure in mine]
        rows.append([name, known[name].allowed, *cells, "yes" if held else "**no**"])
    return table(["figure", "allowed", *(name for name, _ in ours), "holds"], rows)


def meanings(ours: Sequence[tuple[str, Report]]) -> Iterator[str]:
    known = {figure.name for _, report in ours for figure in report.figures}
    yield from (f"- *{name}*: {told}" for name, told in TOLD.items() if name in known and told)


def promises(heads: Sequence[str], reports: Sequence[Report]) -> list[str]:
    rows = []
    for index, verdict in enumerate(reports[0].verdicts):
        cells = []
        for report in reports:
            each = report.verdicts[index]
            count = f"**{each.violated:,}**" if each.violated else "0"
            cells.append(f"{count} of {each.checked:,}" if each.applies else "no record")
        rows.append([f"{verdict.number}. {verdict.sentence}", *cells])
    return table(["promise", *heads], rows)


def violations(name: str, report: Report) -> Iterator[str]:
    if report.holds:
        return
    yield from [f"Of what was broken by *{name}*, for example:", ""]
    for verdict in report.verdicts:
        for example in (verdict.examples or ())[:SHOWN]:
            yield f"- {' '.join(example.split())}"
    yield ""


def faults(ours: Sequence[tuple[str, Report]]) -> list[str]:
    """The longest recovery after each fault, over its strikes in a run."""
    longest: dict[str, dict[str, float]] = {}
    for run, report in ours:
        for each in report.recoveries:
            times = longest.setdefault(each.strike.name, {})
            times[run] = max(each.longest, times.get(run, 0.0))
    return table(
        ["fault", *(run for run, _ in ours)],
        [
            [name, *(f"{times[run]:.1f} s" if run in times else "" for run, _ in ours)]
            for name, times in sorted(longest.items())
        ],
    )
