"""The fault of the long queue: Redis forgets 50,000 tasks that wait, and is to get them back."""

from __future__ import annotations

import time

from chaos.client import Client
from chaos.crew import Role
from chaos.faults.fault import fault
from chaos.ledger import Submission
from chaos.scene import Scene

BATCHES, BATCH = 50, 1000
DISPATCHED = "seconds until a flushed backlog was in Redis again"


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
        backlog = {
            id for number in range(BATCHES) for id in submit(scene, client, f"backlog.{number}")
        }
        if len(backlog) < BATCHES * BATCH:
            scene.notes.append(f"the backlog was of {len(backlog):,} tasks only")
        with scene.stage.redis_client() as redis:
            redis.flushall()
        flushed = time.monotonic()
        if scene.until(lambda: backlog <= queued(scene), within=30, every=0.1):
            scene.measured[DISPATCHED] = time.monotonic() - flushed
    scene.until(lambda: not waiting(scene), within=90, every=0.2)  # their turn comes, in order


def waiting(scene: Scene) -> bool:
    """Whether anything has been pending for a while."""
    return bool(
        scene.stage.query(
            "SELECT id FROM tasks WHERE status = 'pending'"
            " AND pending_since < now() - interval '2 seconds' LIMIT 1"
        )
    )


def submit(scene: Scene, client: Client, label: str) -> list[str]:
    """Submit one batch with the ledger's knowledge; return the ids that were answered."""
    task = {"name": "chaos.nothing", "labels": {"ask": label}}
    submission = Submission(label, [task] * BATCH, key=None)
    answer = client.ask("POST", "/api/v1/tasks/batch", {"tasks": submission.asked})
    submission.answers.append(answer)
    if answer.status == 201:
        submission.answered_ids.append(answer.body["ids"])
    scene.ledger.note("submit batch", answer)
    scene.ledger.enter(submission)
    return submission.ids


def queued(scene: Scene) -> set[str]:
    """The ids in all queues."""
    with scene.stage.redis_client() as redis:
        keys = list(redis.scan_iter("rq:queue:*"))
        ids = (id for key in keys for id in redis.lrange(key, 0, -1))
        return {id.decode() for id in ids}  # type: ignore[union-attr]  # this client reads bytes
