"""What every system answers to: how its processes start, how tasks get in, how many are done."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks import environment
from benchmarks.crew import Program
from benchmarks.stage import Place, Stage
from settings import Settings

PEERS = Path(__file__).resolve().parents[1] / "peers"
NOTHING = json.dumps({"name": "nothing", "payload": {}})


class System:
    """One system under measurement; the defaults are those of a worker without web and record."""

    key: str  # how the command line and the results name it
    title: str  # how people do
    keeps_record = False
    environment = "peers"

    @property
    def missing(self) -> str | None:
        """Why it cannot be measured here, if it cannot."""
        return None

    @contextmanager
    def place(self, stage: Stage) -> Iterator[Place]:
        """An empty place with whatever tables the system needs."""
        with stage.place(self.key) as place:
            self.prepare(place)
            yield place

    def prepare(self, place: Place) -> None:
        """Make the tables."""

    def web(self, place: Place, port: int) -> Sequence[Program]:
        raise NotImplementedError(f"{self.title} has no web process.")

    def workers(self, place: Place) -> Sequence[Program]:
        raise NotImplementedError

    def fill(self, place: Place, count: int) -> None:
        """Make so many pending no-op tasks while no worker runs."""
        raise NotImplementedError

    def recorded(self, place: Place) -> int:
        """How many tasks are finished, by the system's own record; else by their execution."""
        return place.executed()

    def submission(self) -> dict[str, Any]:
        """Path and body of the request that submits one no-op task."""
        return {"path": "/tasks", "body": NOTHING}

    def latencies(self, place: Place) -> list[tuple[float, float]]:
        """Seconds from created to started and to finished of each task, by order of creation."""
        return place.query(
            "SELECT extract(epoch FROM started_at - created_at)::float8,"
            " extract(epoch FROM finished_at - created_at)::float8 FROM tasks ORDER BY created_at"
        )

    # How the peers run: their environment's Python, in the folder of their modules.

    def python(self) -> Path:
        program = environment.python(self.environment)
        if program is None:
            raise RuntimeError(f"{self.title}: {self.missing}")
        return program

    def module(self, place: Place, role: str, *arguments: str) -> Program:
        """`python -m …` as a program of this place."""
        command = [self.python(), "-m", *arguments]
        return Program(role, command, environ(place), PEERS)

    def run_module(self, place: Place, *arguments: str) -> None:
        """Run a module to its end."""
        program = self.module(place, "fill", *arguments)
        done = subprocess.run(
            program.command, env=program.env, cwd=program.folder, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"{self.title}: {done.stderr[-2000:]}")


class Recording(System):
    """A system whose table `tasks` has a row for each task."""

    keeps_record = True

    def recorded(self, place: Place) -> int:
        ((count,),) = place.query("SELECT count(*) FROM tasks WHERE finished_at IS NOT NULL")
        return int(count)


def environ(place: Place) -> Mapping[str, str]:
    """The environment of this machine without anybody's settings, and where the place is."""
    ours = {setting.name.upper() for setting in fields(Settings)} | {"PYTHONPATH", "PORT"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {
        "DATABASE_URL": place.database_url,
        "REDIS_URL": place.redis_url,
        "BENCH_TICKS": str(place.ticks),
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONUNBUFFERED": "1",
    }
