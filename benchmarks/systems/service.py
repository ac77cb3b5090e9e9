"""The service itself, its processes started as the Procfile says."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config

from benchmarks.crew import Program
from benchmarks.load import Answers, post
from benchmarks.stage import Place, Stage
from benchmarks.systems.system import Recording, environ
from settings import database_url

ROOT = Path(__file__).resolve().parents[2]
ROLES = {"web": "API", "worker": "worker", "scheduler": "scheduler"}
PATH = "/api/v1/tasks/"
LARGEST_BATCH = 1000


class Service(Recording):
    """This repository, with its defaults; authentication is off, as it is for the others."""

    key = "service"
    title = "Distributed Task Queue"

    def __init__(self, **settings: str) -> None:
        self.settings = settings

    @contextmanager
    def place(self, stage: Stage) -> Iterator[Place]:
        with stage.place(self.key, template=migrated(stage)) as place:
            yield place

    def web(self, place: Place, port: int) -> Sequence[Program]:
        return [self.process("web", place, API_PORT=str(port)), self.process("scheduler", place)]

    def workers(self, place: Place) -> Sequence[Program]:
        return [self.process("worker", place)]

    def process(self, name: str, place: Place, **settings: str) -> Program:
        env = self.environ(place) | self.settings | settings
        return Program(ROLES[name], procfile()[name], env, place.folder / self.key)

    def environ(self, place: Place) -> dict[str, str]:
        return {
            **environ(place),
            "PYTHONPATH": str(ROOT),
            "TASK_MODULES": "benchmarks.kinds",
            "AUTH": "off",
            "LOG_LEVEL": "warning",
            "DATA_DIR": str(place.folder / self.key / "data"),
        }

    def submission(self, kind: str = "bench.nothing", **payload: Any) -> dict[str, Any]:
        return {"path": PATH, "body": json.dumps({"name": kind, "payload": payload})}

    def batch(
        self,
        size: int = LARGEST_BATCH,
        kind: str = "bench.nothing",
        queue_name: str = "default",
        **payload: Any,
    ) -> dict[str, Any]:
        task = {"name": kind, "payload": payload, "queue_name": queue_name}
        return {"path": f"{PATH}batch", "body": json.dumps({"tasks": [task] * size})}

    def submit_batches(
        self,
        port: int,
        count: int,
        *,
        connections: int = 4,
        kind: str = "bench.nothing",
        **payload: Any,
    ) -> Answers:
        """Submit so many tasks in the largest batches."""
        full, rest = divmod(count, LARGEST_BATCH)
        seen = Answers()
        if full:
            order = self.batch(kind=kind, **payload)
            seen = post(port, order, connections=connections, requests=full)
        if rest:
            post(port, self.batch(rest, kind, **payload), connections=1, requests=1)
        return seen


class Unprotected(Service):
    """The same without whatever is done periodically: neither by a scheduler nor by workers."""

    key = "service-unprotected"
    title = "… without periodic duties"

    def web(self, place: Place, port: int) -> Sequence[Program]:
        return [self.process("web", place, API_PORT=str(port))]

    def workers(self, place: Place) -> Sequence[Program]:
        (worker,) = super().workers(place)
        command = [sys.executable, "-m", "benchmarks.unprotected"]
        return [replace(worker, command=command)]


@cache
def procfile() -> Mapping[str, list[str]]:
    """The commands of the Procfile, for the Python that runs this."""
    commands = {}
    for line in (ROOT / "Procfile").read_text().splitlines():
        name, separator, written = line.partition(":")
        if separator and not line.startswith("#"):
            words = shlex.split(written)
            commands[name] = [sys.executable if word == "python" else word for word in words]
    return commands


@cache
def migrated(stage: Stage) -> str:
    """The name of a database with every table, from which each turn gets its copy."""
    name = "service_template"
    migrate(stage.postgres.create(name))
    return name


def migrate(url: str) -> None:
    """Make every table of the service in this database."""
    alembic = Config()
    alembic.set_main_option("script_location", str(ROOT / "migrations"))
    alembic.set_main_option("sqlalchemy.url", database_url(url).replace("%", "%%"))
    command.upgrade(alembic, "head")
