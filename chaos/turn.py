"""One system's turn: a plan is drawn, carried out in a place of its own, and judged."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from chaos import plan, report, story
from chaos.checker import judge
from chaos.faults import TABLE
from chaos.report import Report
from chaos.run import Run, faults_named
from chaos.service import Service
from chaos.stage import Stage
from chaos.system import System
from dev.labelled import say

SEVERAL = 3  # workers, so that the load goes on while each is restarted in its turn


@dataclass(frozen=True)
class Turn:
    """What is to be done to which system."""

    system: System
    seed: int
    minutes: float = 0.0
    rate: float = 60.0  # requests per second
    words: Sequence[str] = ()  # faults whose names contain one of them; none means all
    every_figure: bool = False  # measure everything and break nothing else

    def play(self) -> Report:
        faults = self.system.faults(TABLE if self.every_figure else faults_named(self.words))
        calm = self.system.lease + 1 if self.system.calms_down else 0.0
        planned = (
            plan.every_figure(faults, calm)
            if self.every_figure
            else plan.draw(self.seed, self.minutes, faults, calm=calm)
        )
        stage = Stage()
        with stage:
            say(f"{self.system.title}: about {planned.seconds:.0f} s, in {stage.folder}")
            evidence = Run(self.system, stage, self.seed, planned, self.rate, faults).go()
        found = report.report_on(evidence, judge(evidence))
        if found.holds and not os.environ.get("CHAOS_KEEP"):
            stage.remove()
        else:
            story.write(stage.logs / "lives.txt", evidence, found.verdicts)
            say(f"The logs are kept in {stage.logs}")
        return found


def figures(seed: int, rate: float) -> Turn:
    """All that is measured, at the service's defaults."""
    return Turn(Service.with_defaults(SEVERAL), seed, rate=rate, every_figure=True)


def machine() -> str:
    return f"{os.cpu_count()} CPUs, Python {platform.python_version()}"
