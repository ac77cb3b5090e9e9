"""Five schedulers, two of them killed again and again, one with a wrong clock, servers restarted.

    python -m tests.stories.exactly_once [ticks]

Schedules fire by the second, so that some minutes hold what is months of ordinary ones. It prints
what became of every tick, and ends with 1 if one was lost or doubled. 20,000 ticks take four
minutes. A short version runs with the tests.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import redis
from alembic import command
from alembic.config import Config

from dev.leash import Leash
from dev.servers import Postgres, Redis
from jobs.handlers import SHIPPED
from tasks import catalog, database, recurrence, schedule_actions, schedules
from tasks.database import sessions
from tasks.models import Schedule
from tasks.policies import Missed
from tasks.schedule_plan import Plan, TaskPlan
from tests.eventually import eventually
from tests.stories import wrong_clock

ROOT = Path(__file__).resolve().parents[2]
SCHEDULERS = 5
KILLED = (0, 1)
WRONG, AHEAD = 2, 120  # which has the wrong clock, and by how many seconds
KINDS: list[dict[str, Any]] = [
    {"cron": "* * * * * *"},
    {"cron": "* * * * * *", "timezone": "Europe/Paris"},
    {"every": 1.0},
    {"cron": "*/2 * * * * *", "timezone": "Asia/Kathmandu"},
    {"every": 1.0, "jitter": 2.0},
]
PER_SECOND = 4.5 / 5  # ticks of one schedule, on average


@dataclass
class Story:
    """What was done, and what came of it."""

    ticks: int = 0
    fired: int = 0
    lost: int = 0
    doubled: int = 0
    unexpected: int = 0
    unfinished: int = 0
    kills: int = 0
    faults: list[str] = field(default_factory=list)
    lag: dict[str, float] = field(default_factory=dict)  # seconds
    clock: str = ""

    def __str__(self) -> str:
        lag = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in self.lag.items())
        return (
            f"{self.ticks} ticks: {self.fired} fired, {self.lost} lost, {self.doubled} doubled, "
            f"{self.unexpected} unexpected; {self.unfinished} tasks unfinished\n"
            f"{self.kills} × kill -9 of a scheduler; {'; '.join(self.faults)}\n"
            f"one clock {AHEAD} s ahead ({self.clock}); lag {lag}"
        )


class Fleet:
    """The scheduler processes."""

    def __init__(self, env: Mapping[str, str], logs: Path) -> None:
        self.env, self.logs = dict(env), logs
        self.running: dict[int, Leash] = {}

    def start(self, number: int) -> None:
        line, more = [sys.executable, "-m", "scheduler"], {}
        if number == WRONG:
            line, more = wrong_clock.run_wrongly("scheduler", AHEAD)
        with (self.logs / f"scheduler-{number}.log").open("ab") as output:
            self.running[number] = Leash(
                line, env=self.env | more, folder=ROOT, output=output.fileno()
            )

    def kill_and_start_again(self, number: int) -> None:
        self.running[number].kill()
        self.running[number].stop()
        self.start(number)

    def stop(self) -> None:
        for leash in self.running.values():
            leash.ask_to_stop()
        for leash in self.running.values():
            leash.stop()


@contextmanager
def service(folder: Path) -> Iterator[tuple[Postgres, Redis, dict[str, str]]]:
    """Servers of our own, migrated, and the environment of processes that use them."""
    with Postgres(folder / "postgres") as postgres, Redis(folder / "redis") as store:
        url = postgres.create("tasks")
        alembic = Config()
        alembic.set_main_option("script_location", str(ROOT / "migrations"))
        sqlalchemy_url = url.replace("postgresql://", "postgresql+psycopg2://")
        alembic.set_main_option("sqlalchemy.url", sqlalchemy_url)
        command.upgrade(alembic, "head")
        env = {
            **os.environ,
            "DATABASE_URL": url,
            "REDIS_URL": store.url,
            "DATA_DIR": str(folder / "data"),
            "AUTH": "off",
            "LOG_FORMAT": "text",
            "WORKER_CONCURRENCY": "2",
        }
        catalog.load(SHIPPED)
        database.open(sqlalchemy_url, patience=10)
        try:
            yield postgres, store, env
        finally:
            database.close()


def tell(ticks: int, *, schedules_at_once: int = 100, worker: bool = True) -> Story:
    """Let about so many ticks come while things go wrong, and say what became of them."""
    seconds = max(12, ceil(ticks / (schedules_at_once * PER_SECOND)))
    story = Story(clock=wrong_clock.how())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exactly-once-")))
        postgres, store, env = stack.enter_context(service(folder))
        fleet = Fleet(env, folder)
        stack.callback(fleet.stop)
        for number in range(SCHEDULERS):
            fleet.start(number)
        if worker:
            with (folder / "worker.log").open("ab") as output:
                line = [sys.executable, "-m", "jobs"]
                stack.enter_context(Leash(line, env=env, folder=ROOT, output=output.fileno()))
        births = redis.Redis.from_url(store.url)
        stack.enter_context(closing(births))
        eventually(lambda: len(registered(births)) == SCHEDULERS, within=60)
        assert_one_clock_is_wrong(births)
        made = make(schedules_at_once, seconds)
        trouble(story, fleet, postgres, store, made[0].ends_at)
        eventually(lambda: nothing_is_due(env["DATABASE_URL"]), within=120, every=0.5)
        count(story, env["DATABASE_URL"], made)
        if worker:
            eventually(lambda: unfinished(env["DATABASE_URL"]) == 0, within=120, every=0.5)
            story.unfinished = unfinished(env["DATABASE_URL"])
    return story


def registered(client: redis.Redis) -> list[float]:
    """When each scheduler was born, by its own clock."""
    keys = client.scan_iter(match="rq:scheduler_instance:*")
    return [float(client.hget(key, "birth") or 0) for key in keys]


def assert_one_clock_is_wrong(client: redis.Redis) -> None:
    ahead = [born for born in registered(client) if born > time.time() + AHEAD / 2]
    assert len(ahead) == 1, "the wrong clock is not wrong"


def make(how_many: int, seconds: int) -> list[Schedule]:
    """Schedules that begin and end together."""
    with sessions.begin() as session:
        begin = schedules.now(session).replace(microsecond=0) + timedelta(seconds=4)
    task = TaskPlan(name="example_task", payload={"message": "tick"})
    return [
        schedule_actions.create(
            Plan(
                name=f"schedule {number}",
                starts_at=begin,
                ends_at=begin + timedelta(seconds=seconds),
                missed=Missed.RUN_ALL,
                **KINDS[number % len(KINDS)],
            ),
            task,
        )
        for number in range(how_many)
    ]


def trouble(
    story: Story, fleet: Fleet, postgres: Postgres, store: Redis, end: datetime | None
) -> None:
    """Kill two schedulers in turn, and restart the servers in between, until the end."""
    assert end is not None
    begun, until = time.time(), end.timestamp()

    def restart_redis() -> None:
        store.kill()
        store.restart()

    def flush_redis() -> None:
        with closing(redis.Redis.from_url(store.url)) as client:
            client.flushall()

    def kill_postgres() -> None:
        postgres.kill()
        postgres.restart()

    faults = [
        (0.25, "PostgreSQL restarted", postgres.restart),
        (0.40, "Redis killed and restarted, empty", restart_redis),
        (0.60, "PostgreSQL killed and restarted", kill_postgres),
        (0.80, "Redis flushed", flush_redis),
    ]
    while (now := time.time()) < until:
        if faults and now > begun + faults[0][0] * (until - begun):
            _, name, fault = faults.pop(0)
            fault()
            story.faults.append(name)
        fleet.kill_and_start_again(KILLED[story.kills % len(KILLED)])
        story.kills += 1
        time.sleep(1.5)


def ask(url: str, question: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchall()


def nothing_is_due(url: str) -> bool:
    return ask(url, "SELECT count(*) FROM schedules WHERE next_fire_at IS NOT NULL") == [(0,)]


def unfinished(url: str) -> int:
    return int(ask(url, "SELECT count(*) FROM tasks WHERE status <> 'succeeded'")[0][0])


def count(story: Story, url: str, made: list[Schedule]) -> None:
    """Compare what fired with what the rules say should have."""
    expected = {
        (schedule.id, tick.at)
        for schedule in made
        for tick in recurrence.ticks(schedules.rule_of(schedule), schedule.created_at)
    }
    tasks = Counter(
        (UUID(id), at) for id, at in ask(url, "SELECT schedule_id::text, scheduled_for FROM tasks")
    )
    story.ticks = len(expected)
    story.fired = len(tasks)
    story.lost = len(expected - tasks.keys())
    story.unexpected = len(tasks.keys() - expected)
    story.doubled = sum(number - 1 for number in tasks.values())
    late = "extract(epoch FROM fired_at - scheduled_for)"
    lags = ask(
        url,
        f"SELECT percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY {late}) "
        "FROM schedule_fires JOIN schedules ON schedules.id = schedule_id WHERE jitter = 0",
    )[0][0]
    story.lag = dict(zip(("p50", "p99", "longest"), map(float, lags), strict=True))


if __name__ == "__main__":
    told = tell(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
    print(told)  # noqa: T201  # a command that a person runs
    sys.exit(bool(told.lost or told.doubled or told.unexpected or told.unfinished))
