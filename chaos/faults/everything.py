"""The fault of faults: everything is down, and comes back in any order."""

from __future__ import annotations

from collections.abc import Callable

from chaos.faults.fault import fault
from chaos.scene import Scene


@fault("everything", "down, and started in random order", 12, alone=True)
def down(scene: Scene) -> None:
    for member in scene.crew.members:
        member.wanted = False
        member.kill()
    scene.stage.redis.kill()
    scene.stage.postgres.kill()
    starts: list[Callable[[], object]] = [
        scene.stage.redis.start,
        scene.stage.postgres.start,
        *(member.start for member in scene.crew.members),
    ]
    scene.chance.shuffle(starts)
    for start in starts:
        start()
        scene.linger(0.3)
