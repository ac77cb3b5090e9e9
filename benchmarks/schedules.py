"""How fast and how exactly schedules fire: `python -m benchmarks.schedules`.

Real scheduler processes on servers of their own: ten thousand schedules due in the same second,
a thousand a minute, and nothing to do. Takes three minutes.
"""

import tempfile
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import psutil
from sqlalchemy import text

from tasks import schedule_actions, schedules
from tasks.database import sessions
from tasks.schedule_plan import Plan, TaskPlan
from tests.eventually import eventually
from tests.stories.exactly_once import Fleet, ask, service

MANY, PER_MINUTE, SECONDS = 10_000, 1_000, 90
IDLE = 20.0  # seconds
TASK = TaskPlan(name="example_task", payload={"message": "tick"})

COPY = text("""
    INSERT INTO schedules SELECT (jsonb_populate_record(s, jsonb_build_object(
        'id', gen_random_uuid(), 'name', s.name || ' ' || n, 'next_fire_at', CAST(:at AS text)))).*
    FROM schedules AS s, generate_series(2, :many) AS n WHERE s.id = :id
""")
LATE = """
    SELECT percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (
        ORDER BY extract(epoch FROM pending_since - scheduled_for)), count(*) FROM tasks
"""


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="schedules-")))
        _, _, env = stack.enter_context(service(folder))
        fleet = Fleet(env, folder)
        stack.callback(fleet.stop)
        fleet.start(0)
        url = env["DATABASE_URL"]
        scheduler = psutil.Process(fleet.running[0].pid)
        due_at_once(url)
        clear()
        by_the_minute(url)
        clear()
        idle(scheduler)


def due_at_once(url: str) -> None:
    """Ten thousand schedules that are due in the same second, by one scheduler."""
    with sessions.begin() as session:
        at = schedules.now(session).replace(microsecond=0) + timedelta(seconds=8)
    first = schedule_actions.create(Plan(name="at once", at=at), TASK)
    with sessions.begin() as session:
        session.execute(COPY, {"id": first.id, "at": at.isoformat(), "many": MANY})
    all_there = f"SELECT count(*) = {MANY} FROM tasks WHERE status = 'pending'"
    eventually(lambda: ask(url, all_there) == [(True,)], within=60, every=0.05)
    with sessions.begin() as session:
        elapsed = schedules.now(session) - at
    print(f"{MANY} due at once: all of them pending after {elapsed.total_seconds():.2f} s")


def by_the_minute(url: str) -> None:
    """A thousand schedules a minute, spread over its seconds, fired by one scheduler."""
    for second in range(60):
        rule = f"{second} * * * * *"
        first = schedule_actions.create(Plan(name=f"second {second}", cron=rule), TASK)
        with sessions.begin() as session:
            how_many = {"many": -(-PER_MINUTE // 60)}
            at = first.next_fire_at
            assert at is not None
            session.execute(COPY, {"id": first.id, "at": at.isoformat()} | how_many)
    with sessions.begin() as session:
        session.execute(text("TRUNCATE tasks"))
    time.sleep(SECONDS)
    ((late, n),) = ask(url, LATE)
    print(
        f"{PER_MINUTE} a minute, {n} ticks: lag p50 {late[0] * 1000:.0f} ms, "
        f"p99 {late[1] * 1000:.0f} ms, longest {late[2] * 1000:.0f} ms"
    )


def idle(scheduler: psutil.Process) -> None:
    """Nothing is due, but for a schedule far away."""
    schedule_actions.create(Plan(name="far away", cron="0 0 1 1 *"), TASK)
    time.sleep(5)
    before = scheduler.cpu_times()
    time.sleep(IDLE)
    after = scheduler.cpu_times()
    used = after.user + after.system - before.user - before.system
    print(f"idle: {100 * used / IDLE:.2f} % of a core")


def clear() -> None:
    with sessions.begin() as session:
        session.execute(text("TRUNCATE schedules, schedule_fires, tasks"))


if __name__ == "__main__":
    main()
