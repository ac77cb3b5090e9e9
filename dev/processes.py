"""The processes of the Procfile, each on a leash.

honcho reads the Procfile but does not run it here: it kills after five seconds, which cuts short
what a worker may do with its grace, and a `kill -9` of honcho leaves everything behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from honcho.environ import parse_procfile

from dev import labelled
from dev.leash import Leash

ROOT = Path(__file__).resolve().parent.parent
RELEASE = "release"  # runs once, before the others


def procfile() -> dict[str, str]:
    """Name and command of each process, in order."""
    return dict(parse_procfile((ROOT / "Procfile").read_text()).processes)


def start(name: str, command: str, env: Mapping[str, str], grace: float = 30) -> Leash:
    """Start one, its output labelled. `python` and the like are those of our own environment."""
    here = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}"}
    leash = Leash(
        ["/bin/sh", "-c", f"exec {command}"],
        env={**env, **here, "PYTHONUNBUFFERED": "1"},
        folder=ROOT,
        output=subprocess.PIPE,
        grace=grace,
    )
    if leash.output:
        labelled.follow(name, leash.output)
    return leash
