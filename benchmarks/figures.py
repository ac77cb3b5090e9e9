"""What was measured: every figure of every turn, their medians, ranges and ratios."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Spread:
    """One figure over the rounds."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(median(values), min(values), max(values))


@dataclass
class Figures:
    """scenario → system → figure → its value in each round."""

    facts: dict[str, Any] = field(default_factory=dict)  # of the machine and the run
    titles: dict[str, str] = field(default_factory=dict)  # of the systems
    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)

    def add(self, scenario: str, system: str, measured: Mapping[str, float]) -> None:
        figures = self.values.setdefault(scenario, {}).setdefault(system, {})
        for name, value in measured.items():
            figures.setdefault(name, []).append(value)

    def rounds(self, scenario: str, system: str, figure: str) -> list[float]:
        return self.values.get(scenario, {}).get(system, {}).get(figure, [])

    def highest(self, scenario: str, system: str, prefix: str) -> list[float]:
        """The rounds of the figure with the highest median, of those whose names begin so."""
        named = self.values.get(scenario, {}).get(system, {}).items()
        return max(
            (rounds for name, rounds in named if name.startswith(prefix)), key=median, default=[]
        )

    def spread(self, scenario: str, system: str, figure: str) -> Spread | None:
        values = self.rounds(scenario, system, figure)
        return Spread.of(values) if values else None

    def write(self, path: Path) -> None:
        kept = {"facts": self.facts, "titles": self.titles, "values": self.values}
        path.write_text(json.dumps(kept, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Figures:
        return cls(**json.loads(path.read_text()))


def ratio(ours: list[float], theirs: list[float]) -> Spread | None:
    """That of each round, which saw both under the same conditions."""
    if not ours or not theirs:
        return None
    each = [mine / other for mine, other in zip(ours, theirs, strict=False) if other]
    return Spread.of(each) if each else None
