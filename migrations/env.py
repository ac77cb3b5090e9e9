"""Alembic's entry: which database to migrate and what it should look like."""

import os
import sys

from alembic import context
from sqlalchemy import Connection, Engine, create_engine, pool
from sqlalchemy.exc import OperationalError

import settings
from tasks.models import Record


def database_url() -> str:
    """The URL given by the caller (tests, dev), else DATABASE_URL."""
    return (
        context.config.get_main_option("sqlalchemy.url") or settings.load(os.environ).database_url
    )


def is_ours(name: str | None, kind: str, parents: object) -> bool:
    """Leave alone the tables of programs that share the database."""
    return kind != "table" or name in Record.metadata.tables


def connect(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except OperationalError as problem:
        sys.exit(f"Cannot reach the database that DATABASE_URL names: {problem.orig}")


def run() -> None:
    engine = create_engine(database_url(), poolclass=pool.NullPool)
    with connect(engine) as connection:
        context.configure(
            connection=connection,
            target_metadata=Record.metadata,
            include_name=is_ours,
            compare_server_default=False,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
