"""Measure everything, or the scenarios that are named: `python -m benchmarks drain`."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from benchmarks import environment, report
from benchmarks.crew import NotReady
from benchmarks.figures import Figures
from benchmarks.load import Refused
from benchmarks.scenarios.batch import BATCH
from benchmarks.scenarios.drain import DRAIN, KILOBYTES
from benchmarks.scenarios.footprint import FOOTPRINT
from benchmarks.scenarios.growth import GROWTH
from benchmarks.scenarios.latency import LATENCY
from benchmarks.scenarios.protections import PROTECTIONS
from benchmarks.scenarios.run import RUN
from benchmarks.scenarios.scenario import FULL, TINY, Measured, Scenario, Sizes
from benchmarks.scenarios.sleepers import SLEEPERS
from benchmarks.scenarios.submit import SUBMIT
from benchmarks.scenarios.wake import WAKE
from benchmarks.stage import Stage
from benchmarks.systems.service import Service
from benchmarks.systems.system import System

SCENARIOS = [
    SUBMIT, RUN, BATCH, DRAIN, PROTECTIONS, KILOBYTES, SLEEPERS, LATENCY, WAKE, FOOTPRINT, GROWTH,
]  # fmt: skip
FAILED = "failed"  # how a fact about a turn begins that has no figures
TITLES = {scenario.key: scenario.title for scenario in SCENARIOS}


def main(arguments: Sequence[str] | None = None) -> None:
    asked = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    if asked.report:
        report.write(Figures.read(report.JSON), TITLES)
        return
    sizes = TINY if asked.tiny else FULL
    if asked.rows is not None:
        sizes = replace(sizes, finished_rows=asked.rows, pending_rows=asked.rows // 10)
    chosen = [each for each in SCENARIOS if each.key in (asked.scenarios or TITLES)]
    chosen = [replace(each, systems=of(each, asked.systems)) for each in chosen]
    figures = measure([each for each in chosen if each.systems], sizes, asked.rounds)
    if asked.scenarios or asked.systems or asked.tiny:
        print(f"\n{report.markdown(figures, TITLES, with_charts=False)}")
    else:
        report.write(figures, TITLES)
        print(f"\n{report.targets_table(figures)}\n\nWritten: {report.MARKDOWN}")
    if any(str(fact).startswith(FAILED) for fact in figures.facts.values()):
        sys.exit("A turn failed.")


def measure(scenarios: Sequence[Scenario], sizes: Sizes, rounds: int) -> Figures:
    """Every system has its turn at a scenario, then the next round begins."""
    install(scenarios)
    figures, begun = Figures(), time.perf_counter()
    with Stage() as stage:
        figures.facts = machine() | stage.facts() | {"rounds": rounds}
        for scenario in scenarios:
            for number in range(1, rounds + 1):
                for systems in scenario.turns(present(scenario, number, figures)):
                    turn = f"{scenario.key} {number}  {' beside '.join(s.title for s in systems)}"
                    try:
                        measured = scenario.take(stage, systems, sizes)
                    except (NotReady, Refused, OSError, RuntimeError) as problem:  # others go on
                        figures.facts[turn] = f"{FAILED}: {problem}".splitlines()[0]
                        traceback.print_exception(problem)
                        continue
                    for system, found in zip(systems, measured, strict=True):
                        figures.titles[system.key] = system.title
                        figures.add(scenario.key, system.key, found)
                        tell(time.perf_counter() - begun, scenario, number, system, found)
    figures.facts["minutes"] = round((time.perf_counter() - begun) / 60, 1)
    return figures


def present(scenario: Scenario, number: int, figures: Figures) -> Sequence[System]:
    """The systems that can be measured here; every other round they go in reverse order."""
    for system in scenario.systems:
        if system.missing:
            figures.facts[system.title] = f"left out: {system.missing}"
    found = [each for each in scenario.systems if not each.missing]
    return found if number % 2 else found[::-1]


def tell(passed: float, scenario: Scenario, number: int, system: System, found: Measured) -> None:
    """Say what came of a turn, in a line."""
    first = ", ".join(f"{name} {value:,.1f}" for name, value in list(found.items())[:3])
    print(f"{passed:5.0f} s  {scenario.key} {number}  {system.title}: {first}", flush=True)


def install(scenarios: Sequence[Scenario]) -> None:
    """Install what is compared with, before anything is measured."""
    rivals = {
        system.environment
        for scenario in scenarios
        for system in scenario.systems
        if not isinstance(system, Service)
    }
    for name in rivals:
        environment.python(name)


def of(scenario: Scenario, keys: Sequence[str]) -> Sequence[System]:
    return [each for each in scenario.systems if not keys or each.key in keys]


def machine() -> dict[str, str | int]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "day": time.strftime("%Y-%m-%d"),
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "Python": platform.python_version(),
    }


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    found.add_argument("scenarios", nargs="*", choices=[*TITLES, []], help="all, if none is named")
    found.add_argument("--rounds", type=int, default=3)
    found.add_argument("--systems", nargs="*", default=[], help="only these, such as `service`")
    found.add_argument("--tiny", action="store_true", help="seconds instead of minutes; no figures")
    found.add_argument("--rows", type=int, help="finished rows of the growth scenario")
    found.add_argument("--report", action="store_true", help="write the report again from its JSON")
    return found


def stop(*_: object) -> NoReturn:
    raise SystemExit("stopped")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped")
