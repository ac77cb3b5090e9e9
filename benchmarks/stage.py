"""The servers that every system runs on in its turn, with equal settings and empty."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import psycopg2
import redis

from dev.guard import descendants
from dev.servers import Postgres, Redis

DATA = Path(__file__).resolve().parent / ".data"

POSTGRES = {
    # fsync and synchronous_commit are on, as they are by default
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",  # no checkpoint by size in the middle of a measurement
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "512MB",
}
REDIS = {"save": '""', "appendonly": "no"}


@dataclass(frozen=True)
class Place:
    """One system's turn: a database, a Redis, and the file its handlers tick."""

    database: str
    database_url: str
    redis_url: str
    ticks: Path
    folder: Path  # where its programs may leave files

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement in autocommit."""
        cursor = self._connection.cursor()
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    @cached_property
    def _connection(self) -> psycopg2.extensions.connection:
        connection = psycopg2.connect(self.database_url)
        connection.autocommit = True
        return connection

    def executed(self) -> int:
        """How many handlers have run."""
        return self.ticks.stat().st_size

    def redis_bytes(self) -> int:
        with closing(redis.Redis.from_url(self.redis_url)) as client:
            return int(client.info("memory")["used_memory"])


class Stage:
    """PostgreSQL and Redis, started for one run and gone after it."""

    def __init__(self) -> None:
        self.folder = DATA / str(os.getpid())
        self.folder.mkdir(parents=True)
        self.postgres = Postgres(self.folder / "postgres", temporary=True, settings=POSTGRES)
        self.redis = Redis(self.folder / "redis", temporary=True, settings=REDIS)
        self._numbers = itertools.count(1)
        self._memories = [self.redis]  # all that were started

    def __enter__(self) -> Self:
        try:
            self.postgres.start()
            self.redis.start()
        except BaseException as problem:
            self.__exit__(type(problem))
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        if kind is None or not issubclass(kind, Exception):
            shutil.rmtree(self.folder, ignore_errors=True)  # after an error its logs may help

    def close(self) -> None:
        for ticks in ticks_folder().glob(f"ticks-{os.getpid()}-*"):
            ticks.unlink()
        for memory in self._memories:
            memory.close()
        self.postgres.close()

    @contextmanager
    def place(self, name: str, template: str = "template1") -> Iterator[Place]:
        """An empty place, which is gone afterwards."""
        with self._gone_afterwards(self._make(name, template, self.redis)) as place:
            with redis_client(place.redis_url) as client:
                client.flushall()
            yield place

    def lasting(self, name: str, template: str) -> Place:
        """An empty place that stays, with a Redis of its own."""
        memory = Redis(self.folder / f"redis-{name}", temporary=True, settings=REDIS)
        self._memories.append(memory)
        memory.start()
        return self._make(name, template, memory)

    def _make(self, name: str, template: str, memory: Redis) -> Place:
        database = f"{name}_{next(self._numbers)}".replace("-", "_")
        url = self.postgres.create(database, template)
        ticks = ticks_folder() / f"ticks-{os.getpid()}-{database}"
        ticks.write_bytes(b"")
        return Place(database, url, memory.url, ticks, self.folder)

    @contextmanager
    def _gone_afterwards(self, place: Place) -> Iterator[Place]:
        try:
            yield place
        finally:
            place.ticks.unlink()
            self.drop(place.database)

    def drop(self, database: str) -> None:
        with closing(psycopg2.connect(self.postgres.url)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def settle(self) -> None:
        """Write out what is dirty, so that no measurement pays for what came before it."""
        with closing(psycopg2.connect(self.postgres.url)) as connection:
            connection.autocommit = True
            connection.cursor().execute("CHECKPOINT")

    def processes(self) -> dict[str, list[int]]:
        """The process ids of both servers."""
        return {
            "Redis": [self.redis.pid],
            "PostgreSQL": [self.postgres.pid, *descendants(self.postgres.pid)],
        }

    def facts(self) -> dict[str, Any]:
        """What the results depend on: versions, and what a commit costs here."""
        with closing(psycopg2.connect(self.postgres.url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SHOW server_version")
            (version,) = cursor.fetchone() or ("",)
            cursor.execute("CREATE TABLE commits (n int)")
            begun = time.perf_counter()
            for number in range(COMMITS):
                cursor.execute("INSERT INTO commits VALUES (%s)", [number])
            commit = (time.perf_counter() - begun) / COMMITS
            cursor.execute("DROP TABLE commits")
        with redis_client(self.redis.url) as client:
            redis_version = client.info("server")["redis_version"]
        return {"PostgreSQL": version, "Redis": redis_version, "commit_us": round(1e6 * commit)}


COMMITS = 500


@contextmanager
def redis_client(url: str) -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(url)) as client:
        yield client


def ticks_folder() -> Path:
    """In memory where the machine has such a place, so that counting costs next to nothing."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else DATA
