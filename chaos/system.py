"""What every system under test is to the harness: processes, tables, and how to read its record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.client import Client
from chaos.crew import Crew, Member, Role
from chaos.executions import FILE
from chaos.faults.fault import Fault
from chaos.network import Link
from chaos.stage import Stage, bare_environ
from dev.servers import free_port


@dataclass(frozen=True)
class Row:
    """A task as the system's own record has it in the end."""

    id: str
    name: str
    status: str
    label: str | None  # of the request that asked for it
    queue: str = ""
    attempt: int = 0  # starts so far
    result: Any = None
    finished: bool = False


class System(ABC):
    """One system, not yet running."""

    title: str
    keeps_attempts = True  # whether its record tells of attempts and moves
    lease = 0.0  # seconds after which it finds out that a worker is dead
    rate = 1.0  # of the load, compared to what was asked for
    calms_down = False  # whether it tells that it has recovered

    @abstractmethod
    def prepare(self, stage: Stage) -> None:
        """Make its tables."""

    @abstractmethod
    def commands(self) -> Sequence[tuple[Role, str, Mapping[str, str]]]:
        """Its processes: what they are, how they are started, with which further settings."""

    def faults(self, faults: Sequence[Fault]) -> list[Fault]:
        """Those of these that can happen to it."""
        return list(faults)

    def begin(self, client: Client) -> None:  # noqa: B027  # most have nothing of the kind
        """Ask for what goes on through the whole run."""

    def end(self, client: Client, stage: Stage) -> None:  # noqa: B027
        """End that, when everything works again."""

    def is_calm(self, stage: Stage, crew: Crew) -> bool:
        """Whether it has recovered from everything that was broken."""
        return True

    @abstractmethod
    def rows(self, stage: Stage) -> Mapping[str, Row]:
        """Its record."""

    def waiting(self, stage: Stage) -> int:
        """How many tasks wait for a worker, if that is known."""
        return 0

    @abstractmethod
    def unfinished(self, stage: Stage) -> int:
        """How many tasks are not finished."""


@dataclass
class Running:
    """A system that runs."""

    crew: Crew
    front: Link  # the clients' way to the web process


def assemble(system: System, stage: Stage) -> Running:
    """Its processes, each with its own ways to the servers; not yet started."""
    port = free_port()
    counts: dict[Role, int] = {}
    members = []
    for role, command, settings in system.commands():
        counts[role] = counts.get(role, 0) + 1
        name = f"{role}-{counts[role]}"
        postgres = stage.network.link(f"{name} → PostgreSQL", stage.postgres.port)
        redis = stage.network.link(f"{name} → Redis", stage.redis.port)
        env = bare_environ() | {
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
            "DATABASE_URL": stage.database_url_through(postgres.port),
            "REDIS_URL": stage.redis_url_through(redis.port),
            "API_PORT": str(port),
            "DATA_DIR": str(stage.folder / "data"),
            FILE: str(stage.executions),
            **settings,
        }
        members.append(
            Member(name, role, command, env, stage.logs / f"{name}.log", postgres, redis)
        )
    return Running(Crew(members), stage.network.link("clients → web", port))
