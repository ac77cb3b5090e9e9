"""Duty: a task whose worker has fallen silent gets another attempt, or is given up."""

import json
import logging
from datetime import timedelta

from scheduler.attention import Attention
from tasks import leases, store
from tasks.database import sessions
from tasks.lifecycle import Move, Outcome
from tasks.models import Task
from tasks.retry import Backoff
from tasks.store import Holder, Settlement

log = logging.getLogger(__name__)

BATCH = 500
BACKOFF = Backoff()


def rescue_silent(lease: timedelta, max_crashes: int, attention: Attention) -> int:
    """Bury whoever fell silent, and rescue what they held; return how many attempts were lost."""
    if attention.is_whole:
        with sessions.begin("bury") as session:
            silent = leases.bury_silent(session, lease)
        if silent:
            log.warning("presumed dead after %s of silence: %s", lease, ", ".join(silent))
    return rescue_orphans(max_crashes)


def rescue_orphans(max_crashes: int) -> int:
    """Rescue what nobody alive holds, however it came to that; return how many attempts."""
    with sessions.express("") as looking:
        if not leases.has_orphans(looking):
            return 0
    with sessions.begin("rescue") as session:
        orphans = leases.orphans(session, BATCH)
        words = [last_word(task, max_crashes) for task in orphans]
        return len(store.settle_many(session, words)) if words else 0


def last_word(task: Task, max_crashes: int) -> Settlement:
    """What is to be said of an attempt whose worker can no longer speak."""
    crashes = task.crashes + 1
    poison = crashes >= max_crashes
    message = f"Its worker {task.worker_id} fell silent and was presumed dead."
    if poison:
        message += f" It was the crash number {crashes}, so there is no other attempt."
    error = {"type": "WorkerLost", "message": message, "traceback": None}
    return Settlement(
        str(task.id),
        Holder(task.attempt, task.worker_id or ""),
        Move.GIVE_UP if poison else Move.RESCUE,
        Outcome.LOST,
        error=json.dumps(error),
        wait=None if poison else BACKOFF.wait(crashes).total_seconds(),
    )
