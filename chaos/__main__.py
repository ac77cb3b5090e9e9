"""`python -m chaos`: break everything, count everything, and end with 1 if a promise was broken.

CHAOS_SEED chooses what happens, CHAOS_MINUTES how long, CHAOS_RATE how many requests a second;
CHAOS_KEEP=1 keeps the logs and the lives of the slowest tasks though everything holds.
Words after the command choose the faults whose names contain one of them; `--list` shows them.

`plain-rq` breaks that instead, to see the checker fail. `figures` measures every figure of the
guarantee at the service's default settings. `campaign 1 2 3` does all of it, with these seeds, and
writes docs/chaos.md; `page` and the JSON files of some reports write it again from those.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from chaos import campaign, page, report
from chaos.faults import TABLE
from chaos.plain_rq.system import PlainRQ
from chaos.service import Service
from chaos.turn import Turn, figures, machine

LONG = 5  # minutes from which a run begins with plain RQ
SHARE = 0.15  # … for this much of the time
HEADING = "What was promised, after everything was broken"


def main(words: list[str]) -> int:
    first, *others = words or [""]
    if first == "--list":
        print("\n".join(map(str, TABLE)))
        return 0
    if first == "page":
        print(f"Written to {page.write(map(Path, others))}")
        return 0
    minutes = float(os.environ.get("CHAOS_MINUTES") or 10)
    rate = float(os.environ.get("CHAOS_RATE") or 60)
    end_by_signal()
    if first == "campaign":
        return campaign.run([int(word) for word in others] or [1, 2, 3], minutes, rate)
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    command = f"CHAOS_SEED={seed} CHAOS_MINUTES={minutes:g} CHAOS_RATE={rate:g}"
    facts = {
        "seed": f"{seed}",
        "minutes": f"{minutes:g}",
        "requests per second": f"{rate:g}",
        "command": f"{command} {' '.join(['python -m chaos', *words]) if words else 'make chaos'}",
        "machine": machine(),
    }
    reports = [turn.play() for turn in turns(words, seed, minutes, rate)]
    reports.reverse()  # ours first
    path = report.save(reports, HEADING, facts, f"seed-{seed}")
    print(path.read_text())
    print(f"Written to {path}")
    return 0 if reports[0].holds else 1


def turns(words: Sequence[str], seed: int, minutes: float, rate: float) -> list[Turn]:
    """Who is broken, one after the other: in a long run first one that is known to fail."""
    if list(words) == ["figures"]:
        return [figures(seed, rate)]
    if list(words[:1]) == ["plain-rq"]:
        return [Turn(PlainRQ(), seed, minutes, rate, words[1:])]
    ours = Turn(Service(), seed, minutes, rate, words)
    if words or minutes < LONG:
        return [ours]
    return [Turn(PlainRQ(), seed, minutes * SHARE, rate), ours]


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
