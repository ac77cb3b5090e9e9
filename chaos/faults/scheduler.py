"""Faults of the schedulers."""

from __future__ import annotations

from chaos.crew import Role
from chaos.faults.fault import fault
from chaos.scene import Scene


@fault("scheduler", "kill -9 twice at a tick", 3)
def kill_twice(scene: Scene) -> None:
    for _ in range(2):
        scene.a(Role.SCHEDULER).kill()
        scene.linger(1)


@fault("scheduler", "kill -9 of all", 3)
def kill_all(scene: Scene) -> None:
    for scheduler in scene.crew.of(Role.SCHEDULER):
        scheduler.kill()
    scene.linger(2)


@fault("scheduler", "SIGSTOP of one longer than the lease", 7)
def pause(scene: Scene) -> None:
    """It wakes up with old opinions."""
    with scene.a(Role.SCHEDULER).paused():
        scene.struck()
        scene.linger(scene.lease * 2)


@fault("scheduler", "SIGTERM", 2, gentle=True)
def terminate(scene: Scene) -> None:
    scene.a(Role.SCHEDULER).terminate()
    scene.linger(2)
