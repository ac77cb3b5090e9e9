"""Real servers: one PostgreSQL and one Redis per test process, emptied for each test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest
import redis
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from dev.servers import Postgres, Redis
from settings import Settings
from tasks import database
from tasks.broker import Broker, connect
from tasks.database import Sessions
from tasks.models import Task, Worker
from tests.emptying import Emptying
from tests.rows import Rows

ROOT = Path(__file__).resolve().parent.parent

for setting in fields(Settings):  # the shell that runs the tests has no say in them
    os.environ.pop(setting.name.upper(), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stories run real processes and take longest: run them last."""
    for item in items:
        if "stories" in item.path.parts:
            item.add_marker("story")
    items.sort(key=lambda item: item.get_closest_marker("story") is not None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server of this test process. Leave it running; a test that breaks one starts its own."""
    with Postgres(Path(tempfile.mkdtemp(prefix="postgres-")), temporary=True) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """The same for Redis."""
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    with Redis(folder, temporary=True, settings={"save": '""'}) as server:
        yield server


@pytest.fixture(scope="session")
def _migrated(postgres: Postgres) -> Emptying:
    url = postgres.create("tasks")
    alembic = Config()
    alembic.set_main_option("script_location", str(ROOT / "migrations"))
    alembic.set_main_option("sqlalchemy.url", sqlalchemy_url(url))
    command.upgrade(alembic, "head")
    return Emptying(url)


@pytest.fixture
def postgres_url(_migrated: Emptying) -> str:
    """An empty database with every table, spelled as `settings.database_url` is."""
    _migrated.empty()
    return sqlalchemy_url(_migrated.url)


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """An empty Redis."""
    with closing(redis.Redis.from_url(redis_server.url)) as client:
        client.flushall()
        client.script_flush()
    return redis_server.url


@pytest.fixture
def environ(postgres_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """An environment for real processes of the service."""
    return {
        **os.environ,
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "DATA_DIR": str(tmp_path / "data"),
        "AUTH": "off",
        "LOG_FORMAT": "text",
    }


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    """A way to the empty Redis."""
    with closing(connect(redis_url, patience=2)) as client:
        yield Broker(client)


@pytest.fixture
def sessions(postgres_url: str, broker: Broker) -> Iterator[Sessions]:
    """The database and the broker, opened as entry points open them."""
    database.open(postgres_url, broker, patience=10)
    yield database.sessions
    database.close()


@pytest.fixture
def session(sessions: Sessions) -> Iterator[Session]:
    """A session whose work is undone at the end, unless the test commits it."""
    with sessions() as session:
        yield session


@pytest.fixture
def rows(postgres_url: str) -> Iterator[Rows]:
    engine = create_engine(postgres_url, pool_size=1)
    yield Rows(engine)
    engine.dispose()


@pytest.fixture
def a_task(rows: Rows) -> Callable[..., Task]:
    """Put a task into the database, in any consistent state: see `Rows.a_task`."""
    return rows.a_task


@pytest.fixture
def a_worker(rows: Rows) -> Callable[..., Worker]:
    """Put a worker into the database, alive or silent: see `Rows.a_worker`."""
    return rows.a_worker


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://")
