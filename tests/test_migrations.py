"""Migrations lead up and down on a database with rows, and end where the models are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import create_engine

from dev.servers import Postgres
from tasks.lifecycle import Status
from tests.conftest import sqlalchemy_url
from tests.rows import Rows

ROOT = Path(__file__).resolve().parent.parent
ALEMBIC = Path(sys.prefix) / "bin" / "alembic"
REVISIONS = sorted(path.stem[:4] for path in (ROOT / "migrations/versions").glob("[0-9]*.py"))


@pytest.fixture
def url(postgres: Postgres) -> str:
    """A new and empty database."""
    return postgres.create(f"migrated_{uuid4().hex}")


@pytest.fixture
def alembic(url: str) -> Callable[..., str]:
    """Type a command as an operator does; return what it says."""

    def typed(*arguments: str) -> str:
        done = run_alembic(url, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return typed


def run_alembic(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ALEMBIC, *arguments],
        cwd=ROOT,
        env={"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def fill(url: str) -> Iterator[Callable[[], None]]:
    """Put a task in every status, with attempts, and a worker into the database."""
    engine = create_engine(sqlalchemy_url(url))

    def put() -> None:
        rows = Rows(engine)
        for status in Status:
            rows.a_task(status, attempt=2)
        rows.a_worker()

    yield put
    engine.dispose()


def rows_of(url: str, query: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute(query)
        return cursor.fetchall()


def execute(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute(statement)


def tables(url: str) -> set[object]:
    names = rows_of(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in names}


def test_up_down_and_up_again_works_on_a_database_with_rows(url, alembic, fill):
    alembic("upgrade", "head")
    fill()

    alembic("downgrade", "base")
    assert tables(url) == {"alembic_version"}

    alembic("upgrade", "head")
    fill()
    assert rows_of(url, "SELECT sum(n) FROM tally_deltas WHERE from_status = ''") == [
        (len(Status),)
    ]


def test_nothing_is_missing_from_the_migrations(alembic):
    alembic("upgrade", "head")

    assert "No new upgrade operations detected." in alembic("check")


def test_tables_of_others_in_the_same_database_are_left_alone(url, alembic):
    alembic("upgrade", "head")
    execute(url, "CREATE TABLE shipments (order_id bigint PRIMARY KEY)")

    assert "No new upgrade operations detected." in alembic("check")


def test_each_migration_follows_the_one_before(alembic):
    told = alembic("history").splitlines()

    assert [line.partition(" -> ")[2][:4] for line in reversed(told)] == REVISIONS


def test_tasks_outlive_all_migrations_but_their_own(url, alembic, fill):
    alembic("upgrade", "head")
    fill()

    alembic("downgrade", REVISIONS[0])
    alembic("upgrade", "head")

    assert rows_of(url, "SELECT count(*) FROM tasks") == [(len(Status),)]


def test_a_database_that_is_away_is_said_in_a_sentence():
    done = run_alembic("postgresql://nobody@127.0.0.1:1/none", "upgrade", "head")

    assert done.returncode == 1
    assert done.stderr.startswith("Cannot reach the database that DATABASE_URL names: ")
