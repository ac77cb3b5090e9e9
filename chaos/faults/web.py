"""Faults of the web process."""

from __future__ import annotations

import os
from contextlib import suppress
from signal import SIGKILL

from chaos.crew import Role
from chaos.faults.fault import fault
from chaos.scene import Scene

PUSH = b"EVALSHA"


@fault("web", "kill -9 of a web process", 1.5)
def kill_a_child(scene: Scene) -> None:
    """Its master replaces it."""
    for _ in range(2):
        kill_one_of(scene)
        scene.linger(0.7)


@fault("web", "kill -9 of the master", 3)
def kill_the_master(scene: Scene) -> None:
    scene.a(Role.WEB).kill()
    scene.linger(3)


@fault("web", "kill -9 between commit and push", 2)
def kill_between_commit_and_push(scene: Scene) -> None:
    """Pushes hang, so that whoever is killed has committed and not pushed."""
    web = scene.a(Role.WEB)
    with web.redis.black_hole():
        for _ in range(4):
            scene.linger(0.4)
            kill_one_of(scene)
    scene.linger(0.4)


@fault("web", "SIGTERM under load", 3, gentle=True)
def restart(scene: Scene) -> None:
    scene.a(Role.WEB).terminate()
    scene.linger(3)


@fault("web", "the answers to clients are lost", 2)
def lose_answers_to_clients(scene: Scene) -> None:
    with scene.front.lose_answers(b"POST "):
        scene.linger(2)


@fault("web", "its push's answer is lost", 2)
def lose_answer_of_push(scene: Scene) -> None:
    with scene.a(Role.WEB).redis.lose_answers(PUSH):
        scene.linger(2)


def kill_one_of(scene: Scene) -> None:
    """Kill one child of the web master, if it has any now."""
    children = scene.a(Role.WEB).children()
    if children:
        with suppress(ProcessLookupError):
            os.kill(scene.chance.choice(children), SIGKILL)
