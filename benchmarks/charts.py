"""Bar charts as SVG, drawn by hand so that they need nothing and read in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, LABELS, NUMBERS, BAR, GAP, TOP = 760, 290, 130, 22, 10, 46

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .number { fill: #57606a }
  .ours { fill: #1f6feb } .theirs { fill: #8c959f } .range { stroke: #24292f; stroke-width: 1.2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .number { fill: #9198a1 }
    .ours { fill: #4493f8 } .theirs { fill: #656c76 } .range { stroke: #e6edf3 }
  }
"""


class Bar(NamedTuple):
    label: str
    value: float
    least: float
    most: float
    ours: bool = False


def bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    """A horizontal bar for each row, with a line from its minimum to its maximum."""
    height = TOP + len(rows) * (BAR + GAP)
    room = WIDTH - LABELS - NUMBERS
    scale = room / max((row.most for row in rows), default=1.0)
    drawn = [drawn_bar(row, TOP + number * (BAR + GAP), scale) for number, row in enumerate(rows)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{STYLE}</style>\n"
        f'<text class="title" x="0" y="18">{escape(title)}</text>\n'
        f'<text class="number" x="0" y="36">{escape(unit)}</text>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def drawn_bar(row: Bar, y: int, scale: float) -> str:
    middle = y + BAR / 2
    from_x, to_x = LABELS + row.least * scale, LABELS + row.most * scale
    kind = "ours" if row.ours else "theirs"
    return (
        f'<text x="{LABELS - 8}" y="{middle + 4.5}" text-anchor="end">{escape(row.label)}</text>'
        f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{row.value * scale:.1f}"'
        f' height="{BAR}" rx="2"/>'
        f'<line class="range" x1="{from_x:.1f}" x2="{to_x:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<text class="number" x="{to_x + 8:.1f}" y="{middle + 4.5}">{shown(row.value)}</text>'
    )


def shown(value: float) -> str:
    """A number with about three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
