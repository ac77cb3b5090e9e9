"""Where a run takes place: real servers of its own, a folder, and the network between."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psycopg2
import redis

from chaos.network import Network
from dev.servers import Postgres, Redis

DATABASE = "chaos"
POSTGRES: dict[str, str | int] = {
    # fsync and synchronous_commit are on, as they are by default
    "max_connections": 80,  # few enough to use them all up
    "log_checkpoints": "off",
    "log_min_messages": "log",
}
REDIS = {"save": '""', "appendonly": "no"}  # a kill loses everything; some faults change it


class Stage:
    """PostgreSQL and Redis, started for one run and gone after it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.folder.chmod(0o755)
        self.logs = self.folder / "logs"
        self.logs.mkdir()
        self.executions = self.folder / "executions"
        self.postgres = Postgres(self.folder / "postgres", temporary=True, settings=POSTGRES)
        self.redis = Redis(self.folder / "redis", temporary=True, settings=REDIS)
        self.network = Network()

    def __enter__(self) -> Self:
        try:
            self.postgres.start()
            self.redis.start()
            self.postgres.create(DATABASE)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with suppress(RuntimeError):
            self.network.close()
        for server in (self.redis, self.postgres):
            server.close()

    def remove(self) -> None:
        """Forget the logs and the rest of the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def database_url(self) -> str:
        return self.postgres.url_of(DATABASE)

    def database_url_through(self, port: int) -> str:
        return self.database_url.replace(f":{self.postgres.port}/", f":{port}/")

    def redis_url_through(self, port: int) -> str:
        return self.redis.url.replace(f":{self.redis.port}/", f":{port}/")

    @contextmanager
    def connection(self, **options: Any) -> Iterator[psycopg2.extensions.connection]:
        """The harness's own connection, past the proxy, in autocommit."""
        connection = psycopg2.connect(
            self.database_url, connect_timeout=5, application_name="chaos", **options
        )
        connection.autocommit = True
        with closing(connection):
            yield connection

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def redis_client(self) -> Iterator[redis.Redis]:
        """The harness's own client, past the proxy."""
        with closing(redis.Redis.from_url(self.redis.url, socket_timeout=5)) as client:
            yield client


def bare_environ(*besides: str) -> dict[str, str]:
    """The environment of this machine without anybody's settings."""
    from dataclasses import fields

    from settings import Settings

    ours = {setting.name.upper() for setting in fields(Settings)} | {"PYTHONPATH", "PORT", *besides}
    return {name: value for name, value in os.environ.items() if name not in ours}
