"""What is left when all is done: attempts, jobs in Redis, connections, breakdowns in logs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from chaos.client import Client
from chaos.crew import Crew, Role
from chaos.stage import Stage
from scheduler.remove_leftovers import KEYS

if TYPE_CHECKING:
    from redis import Redis

    from chaos.evidence import AttemptRow

GONE_WITHIN = 75.0  # seconds, besides a look at every key
# Leftovers of a task are looked for a minute after its end. Its row is moved instead of waiting.
A_MINUTE_LATER = """
    SET session_replication_role = replica;
    UPDATE tasks SET finished_at = finished_at - interval '1 minute'
"""
CONNECTIONS = {Role.WEB: 2 * 8, Role.WORKER: 2 + 2, Role.SCHEDULER: 3}  # of one process at most
METRICS = "/api/v1/monitoring/metrics"
BREAKDOWN = "ended by an exception"  # how logs.py says it
IDLE = 10  # seconds a transaction may be idle


def attempts(stage: Stage) -> Mapping[str, list[AttemptRow]]:
    """The attempts of each task, by number."""
    from chaos.evidence import AttemptRow

    found: dict[str, list[AttemptRow]] = defaultdict(list)
    rows = stage.query(
        "SELECT task_id::text, number, worker_id, extract(epoch FROM started_at)::float8,"
        " extract(epoch FROM ended_at)::float8, outcome, move FROM attempts"
        " ORDER BY task_id, number"
    )
    for task_id, *facts in rows:
        found[task_id].append(AttemptRow(*facts))
    return found


def metrics(client: Client) -> Any:
    """The service's metrics; asked twice, since it may have closed a connection that was idle."""
    for _ in range(2):
        answer = client.ask("GET", METRICS, headers={"Accept": "application/json"})
        if answer.status == 200:
            break
    return answer.body


def in_redis(stage: Stage) -> list[str]:
    """What Redis still holds of finished tasks, once schedulers had time to look at all of it."""
    stage.query(A_MINUTE_LATER)
    with stage.redis_client() as client:
        deadline = time.monotonic() + GONE_WITHIN + client.dbsize() / KEYS
    while True:
        with stage.redis_client() as client:
            left = list(leftovers(client))
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.5)


def leftovers(client: Redis) -> Iterator[str]:
    """Ids in queues and popped sets, started jobs, and jobs that will not go by themselves."""
    for key in client.scan_iter(count=1000):
        name = key.decode(errors="replace")
        if name.startswith("rq:queue:"):
            if n := client.llen(key):
                yield f"{n} ids in {name}"
        elif name.startswith(("dtq:popped:", "rq:wip:")):
            yield f"{name} is still there"
        elif name.startswith("rq:job:") and client.ttl(key) == -1 and is_ours(name):
            yield f"{name} is to stay for ever"


def is_ours(job: str) -> bool:
    """Task ids are UUIDs of version 7; planted jobs are not, and nobody's business."""
    try:
        return UUID(job.removeprefix("rq:job:")).version == 7
    except ValueError:
        return False


def connections(stage: Stage, crew: Crew) -> list[str]:
    """Connections to PostgreSQL beyond the pools, and transactions that nobody ends."""
    allowed = sum(CONNECTIONS[member.role] for member in crew.members)
    rows = stage.query(
        "SELECT state, extract(epoch FROM now() - state_change)::float8, left(query, 100)"
        " FROM pg_stat_activity WHERE application_name = 'task-queue'"
    )
    found = [
        f"idle in a transaction for {seconds:.0f} s after {query}"
        for state, seconds, query in rows
        if (state or "").startswith("idle in transaction") and seconds > IDLE
    ]
    if len(rows) > allowed:
        found.append(f"{len(rows)} connections, {allowed} are allowed")
    return found


def breakdowns(logs: Path) -> list[str]:
    """Processes and threads that an exception of ours ended, as their logs tell."""
    found = []
    for log in sorted(logs.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if BREAKDOWN in line:
                ends = (each for each in lines[number + 2 :] if not each.startswith(" "))
                found.append(f"{log.stem} at {line[:26]}: {next(ends, 'without a word')}")
    return found
