"""The environments of what is compared with; none of it is installed beside the service."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE / ".venv"
REQUIREMENTS = {"peers": HERE / "requirements.txt", "oban": HERE / "requirements-oban.txt"}


@cache
def python(name: str) -> Path | None:
    """The Python of one of the two environments, installed if need be; None where it cannot be."""
    folder = PLACE / name
    program, mark = folder / "bin" / "python", folder / "installed"
    wanted = hashlib.sha256(REQUIREMENTS[name].read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return program
    base = sys.executable if name == "peers" else newer_python()
    if base is None:
        return None
    print(f"Installing what is compared with ({REQUIREMENTS[name].name}) …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    if base == sys.executable:
        venv.create(folder, with_pip=True)
    else:
        subprocess.run([base, "-m", "venv", folder], check=True)
    install = [program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", REQUIREMENTS[name]], check=True)
    mark.write_text(wanted)
    return program


def newer_python() -> str | None:
    """A Python of 3.12 or later on this machine, or None."""
    for candidate in candidates():
        asked = [candidate, "-c", "import sys, venv; sys.exit(sys.version_info < (3, 12))"]
        if subprocess.run(asked, capture_output=True).returncode == 0:
            return candidate
    return None


def candidates() -> Iterator[str]:
    yield sys.executable
    names = [f"python3.{minor}" for minor in (14, 13, 12)] + ["python3"]
    yield from filter(None, map(shutil.which, names))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob("versions/3.1[2-9]*/bin/python3"), reverse=True))
