"""Write the settings of `settings.py` into `.env.example` and the README's table."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from settings import Settings

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- settings -->\n", "<!-- end of settings -->\n"


def env_example() -> str:
    """Every setting as a comment with its meaning and a line to uncomment."""
    lines = [
        "# Copy to .env and uncomment what you change. Written by `python -m dev.configuration`."
    ]
    for knob in fields(Settings):
        if knob.metadata["begins"]:
            lines += ["", f"## {knob.metadata['begins']}"]
        lines += ["", f"# {knob.metadata['meaning']}"]
        if knob.metadata["shown"]:
            lines += [f"# (default: {knob.metadata['shown']})"]
        lines += [f"#{knob.name.upper()}={example(knob)}"]
    return "\n".join(lines) + "\n"


def readme_table() -> str:
    """The same as a Markdown table."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for knob in fields(Settings):
        default = knob.metadata["shown"] or example(knob)
        shown = f"`{default}`" if default else ""
        rows.append(f"| `{knob.name.upper()}` | {shown} | {knob.metadata['meaning']} |")
    return "\n".join(rows) + "\n"


def readme_with_table(readme: str) -> str:
    """Put the table between its two markers; a README without them stays as it is."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    return before + start + readme_table() + end + after if start and end else readme


def example(knob: Field[Any]) -> str:
    return "" if knob.metadata["shown"] else written(default_of(knob))


def default_of(knob: Field[Any]) -> object:
    if knob.default_factory is not MISSING:
        return knob.default_factory()
    return knob.default


def written(value: object) -> str:
    """Spell a value the way the environment does."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


if __name__ == "__main__":
    (ROOT / ".env.example").write_text(env_example())
    readme = ROOT / "README.md"
    if readme.exists():
        readme.write_text(readme_with_table(readme.read_text()))
