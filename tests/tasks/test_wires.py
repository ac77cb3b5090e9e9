"""Scripts reach Redis and their answers come back, whatever happened to the connection before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from redis import Redis
from redis.commands.core import Script
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError, TimeoutError

from tasks.broker import connect
from tasks.wires import Wires


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with closing(connect(redis_url, patience=0.3)) as client:
        yield client


@pytest.fixture
def wires(redis: Redis) -> Wires:
    return Wires(redis.connection_pool)


@pytest.fixture
def echo(redis: Redis) -> Script:
    return redis.register_script("return {KEYS[1], ARGV[1]}")


def test_a_script_gets_keys_and_arguments(wires: Wires, echo: Script) -> None:
    assert wires.run(echo, ["key"], [7]) == [b"key", b"7"]


def test_a_script_that_redis_has_forgotten_is_sent_again(
    wires: Wires, echo: Script, redis: Redis
) -> None:
    wires.run(echo, ["key"], ["first"])
    redis.script_flush()

    assert wires.run(echo, ["key"], ["second"]) == [b"key", b"second"]
    assert redis.script_exists(echo.sha) == [True]


def test_a_connection_that_was_closed_meanwhile_is_replaced(
    wires: Wires, echo: Script, redis: Redis
) -> None:
    wires.run(echo, ["key"], ["first"])
    redis.client_kill_filter(_type="normal", skipme=True)

    assert wires.run(echo, ["key"], ["second"]) == [b"key", b"second"]


def test_an_answer_that_comes_too_late_is_nobody_elses(
    wires: Wires, echo: Script, redis_url: str
) -> None:
    wires.run(echo, ["key"], ["first"])
    with closing(Redis.from_url(redis_url)) as another:
        another.client_pause(600)
        with pytest.raises(TimeoutError):
            wires.run(echo, ["key"], ["late"])
        another.client_unpause()

    assert wires.run(echo, ["key"], ["next"]) == [b"key", b"next"]


def test_an_error_of_a_script_is_raised_and_costs_no_connection(
    wires: Wires, echo: Script, redis: Redis
) -> None:
    wrong = redis.register_script("return redis.call('INCR', KEYS[1])")
    redis.set("key", "no number")
    wires.run(echo, ["key"], ["first"])
    before = redis.info("stats")["total_connections_received"]

    with pytest.raises(ResponseError):
        wires.run(wrong, ["key"], [])

    assert wires.run(echo, ["key"], ["second"]) == [b"key", b"second"]
    assert redis.info("stats")["total_connections_received"] == before


def test_many_at_a_time_each_get_their_own_answer(wires: Wires, echo: Script) -> None:
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda number: wires.run(echo, ["key"], [number]), range(2000)))

    assert answers == [[b"key", f"{number}".encode()] for number in range(2000)]


def test_a_redis_that_is_away_is_said_to_be_away() -> None:
    with closing(connect("redis://127.0.0.1:1/0", patience=0.3)) as client:
        script = client.register_script("return 1")
        with pytest.raises(RedisConnectionError):
            Wires(client.connection_pool).run(script, [], [])
