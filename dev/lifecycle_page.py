"""Write `docs/lifecycle.md` from the table of moves: `python -m dev.lifecycle_page`."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from enum import StrEnum
from pathlib import Path

from tasks.errors import verb
from tasks.lifecycle import FINISHED, Move, Outcome, Status
from tasks.statements import COUNTED, CRASHES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "lifecycle.md"

TEXT = """\
# The life of a task

Written by `python -m dev.lifecycle_page` from `tasks/lifecycle.py`, which is the whole truth: the
table is compiled into SQL, so that the database makes these moves and no others. Of two rivals
exactly one wins, because check and change are one statement.

{diagram}
## Statuses

{statuses}
Finished are {finished}. Only a client brings back a finished task.

## Moves

{moves}
`GET /tasks/{{id}}/history` tells which of them a task has made.

## Attempts

Each start is an attempt, numbered from 1 without a gap, and ends with one outcome. A worker names
the attempt it holds with every word (its number and the worker's name), so one that was presumed
dead and comes back can change nothing.

{outcomes}
A task fails after `max_retries` retries, or after `MAX_CRASHES` crashes of what ran it, whichever
comes first. A rerun begins both counts anew; the numbers of attempts go on.
"""


def page() -> str:
    return TEXT.format(
        diagram=diagram(),
        statuses=table("status | meaning", [(f"`{each}`", said(each)) for each in Status]),
        finished=", ".join(f"`{each}`" for each in Status if each in FINISHED),
        moves=table("move | by | from | to | when", [row(move) for move in Move]),
        outcomes=table(
            "outcome | meaning | counts as", [(f"`{o}`", said(o), counts(o)) for o in Outcome]
        ),
    )


def diagram() -> str:
    """A state diagram in Mermaid, one arrow for all moves between the same two statuses."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for move in Move:
        for source in Status:
            if source in move.sources:
                arrows[source, move.target].append(verb(move))
    lines = ["[*] --> scheduled: submit for later", "[*] --> pending: submit"]
    lines += [f"{source} --> {target}: {', '.join(m)}" for (source, target), m in arrows.items()]
    lines += [f"{status} --> [*]" for status in Status if status in FINISHED]
    return "```mermaid\nstateDiagram-v2\n" + "".join(f"    {line}\n" for line in lines) + "```\n"


def row(move: Move) -> tuple[str, ...]:
    sources = ", ".join(f"`{source}`" for source in Status if source in move.sources)
    return verb(move), move.by, sources, f"`{move.target}`", move.reason


def counts(outcome: Outcome) -> str:
    if outcome in COUNTED:
        return "failure"
    return "crash" if outcome in CRASHES else ""


def said(member: StrEnum) -> str:
    """The phrase beside a member of an enumeration."""
    source = inspect.getsource(type(member))
    phrase = re.search(rf"^ *{member.name} = auto\(\)  # (.*)$", source, re.MULTILINE)
    return phrase[1] if phrase else ""


def table(head: str, rows: list[tuple[str, ...]]) -> str:
    lines = [head.split(" | "), ["---"] * len(head.split(" | ")), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(page())
