"""Make a database as it was when its migrations had run."""

from __future__ import annotations

from contextlib import closing

import psycopg2

KEPT = "alembic_version"
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> %s"


class Emptying:
    """Remembers which tables the migrations left rows in, and puts those back."""

    def __init__(self, url: str) -> None:
        self.url = url
        with (
            closing(psycopg2.connect(url)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(TABLES, [KEPT])
            self.tables = [name for (name,) in cursor]
            self.seeded = [name for name in self.tables if has_rows(cursor, name)]
            cursor.execute("CREATE SCHEMA seed")
            for name in self.seeded:
                cursor.execute(f"CREATE TABLE seed.{name} AS TABLE public.{name}")

    def empty(self) -> None:
        """Empty the tables that have rows: one statement asks, and most tables have none."""
        asked = " UNION ALL ".join(
            f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in self.tables
        )
        with closing(psycopg2.connect(self.url)) as connection, connection:
            cursor = connection.cursor()
            cursor.execute("SET session_replication_role = replica")  # no triggers, no checks
            cursor.execute(asked)
            if used := [name for (name,) in cursor]:
                cursor.execute(f"TRUNCATE {', '.join(used)} RESTART IDENTITY CASCADE")
            for name in self.seeded:
                cursor.execute(f"INSERT INTO {name} TABLE seed.{name}")


def has_rows(cursor: psycopg2.extensions.cursor, table: str) -> bool:
    cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")
    (found,) = cursor.fetchone() or (False,)
    return bool(found)
