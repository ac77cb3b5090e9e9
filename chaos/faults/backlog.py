"""The fault of the long queue: Redis forgets 50,000 tasks that wait, and is to get them back."""

from __future__ import annotations

import time

from chaos.client import Client
from chaos.crew import Role
from chaos.faults.fault import fault
from chaos.ledger import Submission
from chaos.scene import Scene

BATCHES, BATCH = 50, 1000
FIGURE = f"FLUSHALL with {BATCHES * BATCH:,} pending, until all are in Redis again"


@fault(
    "redis",
    f"FLUSHALL with {BATCHES * BATCH:,} pending",
    45,
    alone=True,
    service_only=True,
    only_named=True,
)
def flush_backlog(scene: Scene) -> None:
    with scene.crew.without(*scene.crew.of(Role.WORKER)):
        client = Client(scene.front.port)
        for number in range(BATCHES):
            submit(scene, client, f"backlog.{number}")
        with scene.stage.redis_client() as redis:
            redis.flushall()
        flushed = time.monotonic()
        scene.until(lambda: queued(scene) >= pending(scene), within=30)
        scene.figures[FIGURE] = time.monotonic() - flushed


def submit(scene: Scene, client: Client, label: str) -> None:
    task = {"name": "chaos.nothing", "labels": {"ask": label}}
    submission = Submission(label, [task] * BATCH, key=None)
    answer = client.ask("POST", "/api/v1/tasks/batch", {"tasks": submission.asked})
    submission.answers.append(answer)
    if answer.status == 201:
        submission.answered_ids.append(answer.body["ids"])
    scene.ledger.note("submit batch", answer)
    scene.ledger.enter(submission)


def queued(scene: Scene) -> int:
    with scene.stage.redis_client() as redis:
        return sum(redis.llen(key) for key in redis.scan_iter("rq:queue:*"))


def pending(scene: Scene) -> int:
    ((count,),) = scene.stage.query("SELECT count(*) FROM tasks WHERE status = 'pending'")
    return int(count)
