"""What is installed is written down, down to the last dependency."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def pinned(name: str) -> Iterator[Requirement]:
    for line in (ROOT / name).read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r"):
            yield from pinned(text.removeprefix("-r").strip())
        elif text:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def needed_by(requirement: Requirement) -> Iterator[Requirement]:
    for text in distribution(requirement.name).requires or ():
        needed = Requirement(text)
        extras = requirement.extras or {""}
        if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
            yield needed


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_dependency_of_a_dependency_is_pinned(name):
    known = {canonicalize_name(requirement.name) for requirement in pinned(name)}

    missing = {
        f"{needed.name} (for {requirement.name})"
        for requirement in pinned(name)
        for needed in needed_by(requirement)
        if canonicalize_name(needed.name) not in known
    }

    assert not missing


def test_what_is_installed_is_what_is_pinned():
    for requirement in pinned("requirements-dev.txt"):
        version = distribution(requirement.name).version
        assert str(requirement.specifier) == f"=={version}", requirement.name
