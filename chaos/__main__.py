"""`python -m chaos`: break everything, count everything, and end with 1 if a promise was broken.

CHAOS_SEED chooses what happens, CHAOS_MINUTES how long, CHAOS_RATE how many requests a second;
CHAOS_KEEP=1 keeps the logs and the lives of the slowest tasks though everything holds.
Words after the command choose the faults whose names contain one of them; `--list` shows them.
The word `plain-rq` breaks that instead, to see the checker fail.
"""

from __future__ import annotations

import os
import platform
import random
import signal
import sys
from types import FrameType
from typing import NoReturn

from chaos import plan, report, story
from chaos.checker import judge
from chaos.faults import TABLE
from chaos.plain_rq.system import PlainRQ
from chaos.report import Report
from chaos.run import Run, faults_named
from chaos.service import Service
from chaos.stage import Stage
from chaos.system import System
from dev.labelled import say

LONG = 5  # minutes from which a run begins with plain RQ
SHARE = 0.15  # … and how much of the time that gets
ALONE = "plain-rq"  # the word that runs it alone
HEADING = "What was promised, after everything was broken"


def main(words: list[str]) -> int:
    if words == ["--list"]:
        print("\n".join(map(str, TABLE)))
        return 0
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    minutes = float(os.environ.get("CHAOS_MINUTES") or 10)
    rate = float(os.environ.get("CHAOS_RATE") or 60)
    end_by_signal()
    facts = {
        "seed": f"{seed}",
        "minutes": f"{minutes:g}",
        "requests per second": f"{rate:g}",
        "command": f"CHAOS_SEED={seed} CHAOS_MINUTES={minutes:g} CHAOS_RATE={rate:g} make chaos",
        "machine": f"{os.cpu_count()} CPUs, Python {platform.python_version()}",
    }
    reports = [
        turn(system, seed, share, rate, [word for word in words if word != ALONE])
        for system, share in turns(words, minutes)
    ]
    reports.reverse()  # ours first
    path = report.save(reports, HEADING, facts)
    print(path.read_text())
    print(f"Written to {path}")
    return 0 if reports[0].holds else 1


def turns(words: list[str], minutes: float) -> list[tuple[System, float]]:
    """Which systems are broken, and for how many minutes: first one that is known to fail."""
    if ALONE in words:
        return [(PlainRQ(), minutes)]
    if words or minutes < LONG:
        return [(Service(), minutes)]
    return [(PlainRQ(), minutes * SHARE), (Service(), minutes * (1 - SHARE))]


def turn(system: System, seed: int, minutes: float, rate: float, words: list[str]) -> Report:
    """One system's turn, in a place of its own."""
    faults = system.faults(faults_named(words))
    planned = plan.draw(seed, minutes, faults)
    stage = Stage()
    with stage:
        say(f"{system.title}: about {planned.seconds:.0f} s, in {stage.folder}")
        evidence = Run(system, stage, seed, planned, rate, faults).go()
    found = report.report_on(evidence, judge(evidence))
    if found.holds and not os.environ.get("CHAOS_KEEP"):
        stage.remove()
    else:
        story.write(stage.logs / "lives.txt", evidence, found.verdicts)
        say(f"The logs are kept in {stage.logs}")
    return found


def end_by_signal() -> None:
    """Ctrl-C and SIGTERM unwind everything; a second one changes nothing."""

    def unwind(number: int, frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(130)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, unwind)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
