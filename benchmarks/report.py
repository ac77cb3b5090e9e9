"""The results as people read them: `results.md` and its charts, from `results.json`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.charts import Bar, bars, shown
from benchmarks.figures import Figures, Spread
from benchmarks.targets import TARGETS

HERE = Path(__file__).resolve().parent
JSON, MARKDOWN, CHARTS = HERE / "results.json", HERE / "results.md", HERE / "charts"

UNITS = {
    "accepted_per_s": "accepted/s",
    "batch_accepted_per_s": "accepted in batches/s",
    "tasks_per_s": "tasks/s",
    "run_per_s": "submitted one by one, run and recorded/s",
    "sleepers_per_s": "tasks of 50 ms/s",
    "woken_p50_ms": "`?wait=` answered after the end, p50 ms",
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "started_p50_ms": "created → started, p50 ms",
    "share_of_ideal": "share of the ideal",
    "redis_bytes_per_pending": "Redis bytes per pending task",
    "idle_percent": "CPU, % of a core",
}
PREFIXES = {
    "cpu_": "CPU s per 1,000: {}",
    "idle_": "CPU % of a core: {}",
    "memory_": "memory MB: {}",
    "query_": "p95 ms: {}",
}
WIDE = 10  # figures of one system that still make a row
DRAWN = [
    ("drain", "tasks_per_s", "Draining no-op tasks", "tasks per second; more is better"),
    ("run", "tasks_per_s", "Submit one by one, run, record", "tasks per second; more is better"),
    (
        "submit",
        "accepted_per_s",
        "Single submissions, workers off",
        "accepted per second; more is better",
    ),
    ("latency", "p99_ms", "Created → finished at 20/s, p99", "milliseconds; less is better"),
    (
        "growth",
        "tasks_per_s",
        "Draining with 5,500,000 rows in the tables",
        "tasks per second; more is better",
    ),
]


def write(figures: Figures, titles: dict[str, str]) -> None:
    """Write everything that a whole run leaves behind; `titles` are the scenarios'."""
    figures.write(JSON)
    CHARTS.mkdir(exist_ok=True)
    for scenario, figure, title, unit in DRAWN:
        if rows := chart_rows(figures, scenario, figure):
            (CHARTS / f"{scenario}.svg").write_text(bars(title, unit, rows))
    MARKDOWN.write_text(markdown(figures, titles))


def markdown(figures: Figures, titles: dict[str, str], *, with_charts: bool = True) -> str:
    """`titles` are the scenarios', in the order they are told."""
    parts = [
        "# Results",
        "Written by `make bench`; how each figure is measured is in [README.md](README.md). "
        "Medians of the rounds, minimum to maximum in brackets.",
        table(("", ""), [(name, str(value)) for name, value in figures.facts.items()]),
        "## Targets",
        targets_table(figures),
    ]
    for scenario, title in titles.items():
        if scenario in figures.values:
            drawn = chart(scenario) if with_charts else []
            parts += [f"## {title}", *drawn, scenario_table(figures, scenario)]
    return "\n\n".join(parts) + "\n"


def chart(scenario: str) -> list[str]:
    drawn = [title for key, _, title, _ in DRAWN if key == scenario]
    return [f"![{drawn[0]}](charts/{scenario}.svg)"] if drawn else []


def chart_rows(figures: Figures, scenario: str, figure: str) -> list[Bar]:
    rows = []
    for system in figures.values.get(scenario, {}):
        if spread := figures.spread(scenario, system, figure):
            ours = system.startswith("service")
            rows.append(Bar(figures.titles[system], spread.middle, spread.least, spread.most, ours))
    return rows


def targets_table(figures: Figures) -> str:
    rows = []
    for target in TARGETS:
        reached = target.reached(figures)
        sign = "≥" if target.at == "least" else "≤"
        bound = f"{sign} {target.bound:,g} {target.unit}".strip()
        if reached is None:
            if target.ours[0] in figures.values:
                rows.append((target.what, target.against, bound, "not measured", ""))
        else:
            verdict = "yes" if target.holds(reached) else "**no**"
            rows.append((target.what, target.against, bound, ranged(reached), verdict))
    return table(("", "against", "target", "reached", ""), rows)


def scenario_table(figures: Figures, scenario: str) -> str:
    systems = figures.values[scenario]
    names = list(dict.fromkeys(name for each in systems.values() for name in each))
    rows = [
        [figures.titles[system], *(cell(figures, scenario, system, name) for name in names)]
        for system in systems
    ]
    lines = [["", *map(described, names)], *rows]
    if len(names) > WIDE or len(systems) == 1:
        lines = [list(column) for column in zip(*lines, strict=True)]  # systems side by side
    return table(lines[0], lines[1:])


def cell(figures: Figures, scenario: str, system: str, name: str) -> str:
    spread = figures.spread(scenario, system, name)
    return "" if spread is None else ranged(spread)


def ranged(spread: Spread) -> str:
    if spread.least == spread.most:
        return shown(spread.middle)
    return f"{shown(spread.middle)} ({shown(spread.least)} to {shown(spread.most)})"


def described(name: str) -> str:
    for prefix, words in PREFIXES.items():
        if name not in UNITS and name.startswith(prefix):
            return words.format(name.removeprefix(prefix))
    return UNITS.get(name, name)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
