"""Faults of the network between each pair of process and server."""

from __future__ import annotations

from contextlib import ExitStack

from chaos.crew import Role
from chaos.faults.fault import TABLE, Deed, Fault
from chaos.network import Link
from chaos.scene import Scene

SERVERS = {"PostgreSQL": "postgres", "Redis": "redis"}


def links_of(scene: Scene, role: Role, server: str, *, all_of_them: bool) -> list[Link]:
    members = scene.crew.of(role) if all_of_them else [scene.a(role)]
    return [getattr(member, SERVERS[server]) for member in members]


def reset(role: Role, server: str) -> Deed:
    def strike(scene: Scene) -> None:
        with ExitStack() as broken:
            for link in links_of(scene, role, server, all_of_them=True):
                broken.enter_context(link.reset())
            scene.linger(2)

    return strike


def flaky(role: Role, server: str) -> Deed:
    def strike(scene: Scene) -> None:
        for _ in range(10):
            for link in links_of(scene, role, server, all_of_them=True):
                link.reset_once()
            scene.linger(0.2)

    return strike


def black_hole(role: Role, server: str) -> Deed:
    def strike(scene: Scene) -> None:
        with ExitStack() as broken:
            for link in links_of(scene, role, server, all_of_them=True):
                broken.enter_context(link.black_hole())
            scene.linger(4)

    return strike


def partition_one(role: Role, server: str) -> Deed:
    """One process is cut off for longer than its lease; the others must do without it."""

    def strike(scene: Scene) -> None:
        (link,) = links_of(scene, role, server, all_of_them=False)
        with link.black_hole():
            scene.struck()
            scene.linger(scene.lease * 2 + 2)

    return strike


def deaf(role: Role, server: str) -> Deed:
    def strike(scene: Scene) -> None:
        with ExitStack() as broken:
            for link in links_of(scene, role, server, all_of_them=True):
                broken.enter_context(link.black_hole(only_answers=True))
            scene.linger(3)

    return strike


def slow(role: Role, server: str) -> Deed:
    def strike(scene: Scene) -> None:
        with ExitStack() as broken:
            for link in links_of(scene, role, server, all_of_them=True):
                broken.enter_context(link.slow(0.05))
            scene.linger(3)

    return strike


SORTS = [
    ("resets", 2.0, reset),
    ("breaks again and again", 2.0, flaky),
    ("is a black hole", 4.0, black_hole),
    ("swallows the answers", 3.0, deaf),
    ("is slow", 3.0, slow),
]

for role in Role:
    for server in SERVERS:
        for name, seconds, make in SORTS:
            TABLE.append(Fault("network", f"{role} → {server} {name}", seconds, make(role, server)))

TABLE.append(
    Fault(
        "network",
        "one worker is cut off from PostgreSQL",
        9,
        partition_one(Role.WORKER, "PostgreSQL"),
    )
)
TABLE.append(
    Fault("network", "one worker is cut off from Redis", 9, partition_one(Role.WORKER, "Redis"))
)
