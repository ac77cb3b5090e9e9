"""Real servers: one PostgreSQL and one Redis per test process, emptied for each test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest
import redis
from alembic import command
from alembic.config import Config

from dev.servers import Postgres, Redis
from settings import Settings
from tests.emptying import Emptying

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


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://")
