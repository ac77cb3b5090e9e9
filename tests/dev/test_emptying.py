"""Every test finds the database and Redis as if it were the first."""

from __future__ import annotations

from contextlib import closing

import pytest
import redis
from sqlalchemy import create_engine, text

from tests.emptying import Emptying

A_WORKER = """
    INSERT INTO workers (id, host, pid, queues, kinds, concurrency, expires_at)
    VALUES ('w', 'here', 1, '{}', '{}', 1, now())
"""


@pytest.mark.parametrize("turn", ["first", "second"])
def test_rows_of_one_test_are_gone_in_the_next(postgres_url, turn):
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM workers")) == 0
        connection.execute(text(A_WORKER))
    engine.dispose()


@pytest.mark.parametrize("turn", ["first", "second"])
def test_keys_of_one_test_are_gone_in_the_next(redis_url, turn):
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_rows_that_migrations_left_are_put_back(postgres):
    url = postgres.create("seeded")
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE colours (name text)"))
        connection.execute(text("INSERT INTO colours VALUES ('red')"))
    emptying = Emptying(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE colours SET name = 'blue'"))

    emptying.empty()

    with engine.begin() as connection:
        assert connection.scalars(text("SELECT name FROM colours")).all() == ["red"]
    engine.dispose()
