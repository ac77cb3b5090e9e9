"""The checker: every invariant of the guarantee, looked for in the evidence of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chaos.evidence import Evidence

SHOWN = 10  # violations of one invariant that a report names


@dataclass
class Verdict:
    """What one invariant came to."""

    number: int
    sentence: str
    checked: int = 0
    violated: int = 0
    examples: list[str] | None = None
    applies: bool = True  # False: the system keeps no such record

    @property
    def holds(self) -> bool:
        return not self.violated


class Looking:
    """Where a check counts what it looked at, and says what is wrong."""

    def __init__(self) -> None:
        self.checked = 0
        self.violations: list[str] = []

    def expect(self, holds: bool, violation: str) -> None:
        self.checked += 1
        if not holds:
            self.violations.append(violation)

    def expect_none(self, violations: Iterable[str]) -> None:
        self.checked += 1
        self.violations.extend(violations)


Check = Callable[[Evidence, Looking], None]


@dataclass(frozen=True)
class Invariant:
    """A sentence, and how to look whether it is true."""

    number: int
    sentence: str
    check: Check
    of_the_record: bool  # it needs a record of attempts and moves


TABLE: list[Invariant] = []


def invariant(
    number: int, sentence: str, *, of_the_record: bool = True
) -> Callable[[Check], Check]:
    """Add a check to the table of invariants."""

    def enter(check: Check) -> Check:
        TABLE.append(Invariant(number, sentence, check, of_the_record))
        return check

    return enter


def judge(evidence: Evidence) -> list[Verdict]:
    """Check everything."""
    import chaos.invariants  # noqa: F401  # importing them enters them into the table

    verdicts = []
    for each in sorted(TABLE, key=lambda each: each.number):
        verdict = Verdict(each.number, each.sentence)
        if each.of_the_record and not evidence.keeps_attempts:
            verdict.applies = False
        else:
            looking = Looking()
            each.check(evidence, looking)
            verdict.checked, verdict.violated = looking.checked, len(looking.violations)
            verdict.examples = looking.violations[:SHOWN]
        verdicts.append(verdict)
    return verdicts
