"""What clients ask for: tasks of every sort, drawn by chance."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from chaos.deeds import WAYS_TO_DIE

PRIORITIES = ("critical", "high", "normal", "normal", "low")
QUEUES = ("default", "default", "default", "other")

Draw = Callable[[Random], dict[str, Any]]

# How often, and what. Most do next to nothing, so that a run sees many of them.
SORTS: list[tuple[int, Draw]] = [
    (1500, lambda chance: {"name": "chaos.nothing"}),
    (250, lambda chance: {"name": "chaos.write"}),
    (100, lambda chance: a_while("chaos.sleep", chance.uniform(0.001, 0.05))),
    (60, lambda chance: a_while("chaos.wait", chance.uniform(0.01, 0.3))),
    (10, lambda chance: a_while("chaos.sleep", chance.uniform(0.2, 1.0))),
    (50, lambda chance: {"name": "chaos.fail", "payload": {"times": chance.choice([1, 1, 2, 9])}}),
    (12, lambda chance: a_death(chance)),
    (3, lambda chance: a_while("chaos.sleep", 5.0) | {"timeout": 0.4, "max_retries": 1}),
]


def a_while(name: str, seconds: float) -> dict[str, Any]:
    return {"name": name, "payload": {"seconds": round(seconds, 4)}}


def a_death(chance: Random) -> dict[str, Any]:
    """Mostly once; some are poison."""
    times = chance.choice([1, 1, 1, 2, 99])
    return {"name": "chaos.die", "payload": {"how": chance.choice(WAYS_TO_DIE), "times": times}}


def a_task(chance: Random, label: str) -> dict[str, Any]:
    """A submission of one task."""
    (draw,) = chance.choices([draw for _, draw in SORTS], [weight for weight, _ in SORTS])
    task = draw(chance) | {"labels": {"ask": label}}
    if chance.random() < 0.5:
        task["priority"] = chance.choice(PRIORITIES)
    if chance.random() < 0.3:
        task["queue_name"] = chance.choice(QUEUES)
    if chance.random() < 0.12:
        task["delay"] = round(chance.uniform(0.2, 4), 3)
    return task


def quick(_: Random, label: str) -> dict[str, Any]:
    """One of many that only have to be counted."""
    return {"name": "chaos.nothing", "labels": {"ask": label}}
