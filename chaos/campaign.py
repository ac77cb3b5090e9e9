"""The campaign: plain RQ for contrast, every figure at default settings, then some seeds in turn.

Each turn's report is kept as soon as it is over, and docs/chaos.md written from those there are, so
that nothing is lost when the campaign is stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from chaos import page, report
from chaos.plain_rq.system import PlainRQ
from chaos.service import Service
from chaos.turn import Turn, figures, machine
from dev.labelled import say

PLAIN = 0.15  # share of a seed's minutes that plain RQ gets
AT_LEAST = 0.5  # minutes
HEADING = "One turn of a campaign"


def run(seeds: Sequence[int], minutes: float, rate: float) -> int:
    """All of it; returns 1 if a promise of ours was broken."""
    command = f"CHAOS_MINUTES={minutes:g} CHAOS_RATE={rate:g} python -m chaos campaign"
    facts = {
        "command": f"{command} {' '.join(map(str, seeds))}",
        "minutes": f"{minutes:g}",
        "requests per second": f"{rate:g}",
        "machine": machine(),
    }
    written: list[Path] = []
    holds = True
    for name, turn in turns(seeds, minutes, rate):
        found = turn.play()
        path = report.save([found], HEADING, {**facts, "seed": f"{turn.seed}"}, name)
        written.append(path.with_suffix(".json"))
        say(f"{name}: {'holds' if found.holds else 'broken'}; written to {path}")
        for each in report.figures(found.figures):
            print(each)
        holds = holds and (found.holds or isinstance(turn.system, PlainRQ))
        page.write(written)
    print(f"Written to {page.PAGE}")
    return 0 if holds else 1


def turns(seeds: Sequence[int], minutes: float, rate: float) -> Iterator[tuple[str, Turn]]:
    first = seeds[0]
    yield "plain-rq", Turn(PlainRQ(), first, max(AT_LEAST, minutes * PLAIN), rate)
    yield "figures", figures(first, rate)
    for seed in seeds:
        yield f"seed-{seed}", Turn(Service(), seed, minutes, rate)
