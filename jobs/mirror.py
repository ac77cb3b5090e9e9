"""RQ's registries, kept so that `rq info` and rq-dashboard tell the same story as the record.

A mirror for people and tools, never an authority. Tasks that end quickly are never shown as
started; finished jobs stay visible for a while, within a budget that keeps Redis small.
"""

import time
from collections.abc import Iterable, Sequence

from redis import Redis
from rq.utils import utcformat

from jobs.mount import Assigned
from jobs.settling import Done
from tasks import clock
from tasks.broker import Broker, Ended
from tasks.lifecycle import Move

SHOWN_AFTER = 0.25  # seconds a task has run before it is shown as started
LARGEST_WINDOW = 10_000  # finished jobs one worker leaves in Redis per time to live


class Mirror:
    """One worker's part of RQ's registries."""

    def __init__(self, broker: Broker, worker_id: str, keep: int) -> None:
        self._broker, self._worker_id = broker, worker_id
        self._keep = keep  # seconds that a finished job stays visible
        self._window_ends = 0.0
        self._left = LARGEST_WINDOW

    def show_started(self, running: Iterable[Assigned], queue_of: dict[str, str]) -> None:
        """Show what has run for a while and is not shown yet."""
        now = time.monotonic()
        new = [each for each in running if not each.mirrored and now - each.since > SHOWN_AFTER]
        if not new:
            return
        redis: Redis = self._broker.redis
        with redis.pipeline(transaction=False) as pipeline:
            for each in new:
                assignment = each.assignment
                member = f"{assignment.task_id}:{assignment.attempt}"
                until = int(clock.now().timestamp() + assignment.timeout + 60)
                started = utcformat(clock.now())
                pipeline.hset(
                    f"rq:job:{assignment.task_id}",
                    mapping={
                        "status": "started",
                        "started_at": started,
                        "worker_name": self._worker_id,
                    },
                )
                pipeline.zadd(f"rq:wip:{queue_of[assignment.task_id]}", {member: until})
                each.mirrored = member
            pipeline.execute()

    def show_ended(self, done: Sequence[Done]) -> None:
        """Show how attempts ended, and let go what need not be shown."""
        ends = [
            Ended(each.settlement.task_id, each.queue, self._status(each), each.execution)
            for each in done
            if each.queue and each.settlement.move is not Move.RELEASE
        ]
        if ends:
            self._broker.mirror_ended(self._worker_id, ends, self._keep)

    def _status(self, done: Done) -> str:
        statuses = {Move.SUCCEED: "finished", Move.FAIL: "failed"}
        status = statuses.get(done.settlement.move, "")
        return status if status and self._within_budget() else ""

    def _within_budget(self) -> bool:
        now = time.monotonic()
        if now >= self._window_ends:
            self._window_ends, self._left = now + self._keep, LARGEST_WINDOW
        self._left -= 1
        return self._keep > 0 and self._left >= 0
