"""The tokens a process knows are two seconds old at most; an outage is no wrong key."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import event

from api.keyring import FRESH, GLANCE, GLANCES, STALE, Keyring
from dev.servers import Postgres
from tasks import database, key_actions, key_store, keys
from tasks.actions import Client
from tasks.database import sessions
from tasks.errors import DatabaseUnavailable
from tests.eventually import eventually

BY = Client()


@pytest.fixture(autouse=True)
def _database(postgres_url: str) -> Iterator[None]:
    database.open(postgres_url)
    yield
    database.close()


@pytest.fixture
def queries() -> Iterator[list[str]]:
    """Every statement sent to PostgreSQL from now on."""
    sent: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        sent.append(statement)

    engine = database.engine()
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def test_a_new_key_works_at_once_in_a_process_that_has_just_looked() -> None:
    keyring = Keyring()
    keyring.find(keys.new_token(keys.new_id()))

    _, token = key_actions.create(BY, "first", ["admin"])

    eventually(lambda: keyring.find(token), within=0.5)


def test_a_revoked_key_is_out_within_two_seconds() -> None:
    key, token = key_actions.create(BY, "first", ["admin"])
    keyring = Keyring()
    assert keyring.find(token)

    key_actions.revoke(BY, key.id)

    eventually(lambda: keyring.find(token) is None, within=FRESH + 0.2)


def test_a_key_that_expires_meanwhile_ends_to_the_moment() -> None:
    _, token = key_actions.create(BY, "first", ["admin"], lifetime=timedelta(seconds=0.3))
    keyring = Keyring()
    assert keyring.find(token)

    eventually(lambda: keyring.find(token) is None, within=0.4)


def test_a_known_token_costs_no_query(queries: list[str]) -> None:
    _, token = key_actions.create(BY, "first", ["admin"])
    keyring = Keyring()
    keyring.find(token)
    queries.clear()

    began, asked = time.monotonic(), 0
    while time.monotonic() < began + FRESH / 4:
        assert keyring.find(token)
        asked += 1

    assert queries == []
    assert asked / (FRESH / 4) > 20_000  # a second: 50 microseconds each would be slow


def test_guessed_tokens_cost_few_queries(queries: list[str]) -> None:
    keyring = Keyring()
    guesses = [keys.new_token(keys.new_id()) for _ in range(2000)]

    began = time.monotonic()
    for guess in guesses:
        assert keyring.find(guess) is None

    assert len(queries) <= 1 + GLANCES + (time.monotonic() - began) / GLANCE


def test_what_is_no_token_costs_no_query(queries: list[str]) -> None:
    assert Keyring().find("dtq_guess") is None
    assert queries == []


def test_use_is_noted_without_a_write_per_request(queries: list[str]) -> None:
    key, token = key_actions.create(BY, "first", ["admin"])
    keyring = Keyring()
    queries.clear()

    def noted() -> bool:
        assert keyring.find(token)
        with sessions.begin() as session:
            return key_store.find(session, key.id).last_used_at is not None

    eventually(noted, within=FRESH + 0.5, every=0.001)
    assert sum(statement.startswith("UPDATE api_keys") for statement in queries) == 1


def test_an_outage_is_said_to_be_one_quickly_and_to_everybody(
    postgres: Postgres, postgres_url: str
) -> None:
    _, token = key_actions.create(BY, "first", ["admin"])
    keyring, answers = Keyring(), []

    def ask() -> None:
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            keyring.find(token)
        answers.append(time.monotonic() - began)

    postgres.pause()
    try:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        postgres.resume()

    assert len(answers) == 8
    assert max(answers) < 2
    eventually(lambda: finds(keyring, token))


def test_nobody_is_believed_for_long_without_the_database(postgres: Postgres) -> None:
    _, token = key_actions.create(BY, "first", ["admin"])
    keyring = Keyring()
    assert keyring.find(token)

    postgres.pause()
    try:
        eventually(lambda: not finds(keyring, token), within=STALE + 1)
        assert not finds(keyring, token)
    finally:
        postgres.resume()


def finds(keyring: Keyring, token: str) -> bool:
    try:
        return keyring.find(token) is not None
    except DatabaseUnavailable:
        return False
