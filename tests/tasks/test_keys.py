"""An API key says who may ask for what; its token is shown once and ends when it is told to."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tasks import audit, database, key_actions, key_store, keys
from tasks.actions import Client
from tasks.audit import AuditFilter
from tasks.database import sessions
from tasks.errors import InvalidKey, KeyEnded, KeyNotFound
from tasks.keys import Grant, Scope
from tasks.models import ApiKeySecret, AuditEntry
from tests.dumps import database_dump

HOUR = timedelta(hours=1)
BY = Client("admin00000", "203.0.113.7")


@pytest.fixture(autouse=True)
def _database(postgres_url: str) -> Iterator[None]:
    database.open(postgres_url)
    yield
    database.close()


def valid() -> dict[bytes, tuple[Grant, float]]:
    with sessions.begin() as session:
        return key_store.valid(session)


def seconds_left(token: str) -> float:
    return valid()[keys.hashed(token)][1]


def acts(subject: str) -> list[AuditEntry]:
    with sessions.begin() as session:
        return list(audit.page(session, AuditFilter(subject=subject), 10)[0])


def test_a_token_has_256_random_bits_and_names_its_key() -> None:
    key, token = key_actions.create(BY, "first", ["tasks:submit"])

    assert token.startswith(f"dtq_{key.id}_")
    assert 62**keys.SECRET_LENGTH >= 2**256
    assert keys.new_token(key.id) != token


@given(st.integers(min_value=15, max_value=63), st.sampled_from(keys.SECRET_LETTERS))
def test_a_mistyped_token_is_recognised_without_the_database(at: int, letter: str) -> None:
    token = keys.new_token(keys.new_id())
    mistyped = token[:at] + letter + token[at + 1 :]

    assert keys.well_formed(token)
    assert keys.well_formed(mistyped) == (mistyped == token)


@pytest.mark.parametrize(
    "token", ["", "dtq_", "x" * 100_000, "dtq_\0", "dtq_" + "é" * 60, "\ud800"]
)
def test_what_is_no_token_is_recognised_as_such(token: str) -> None:
    assert not keys.well_formed(token)


def test_nothing_in_the_database_is_the_token_or_leads_to_it(postgres_url: str) -> None:
    _, token = key_actions.create(BY, "first", ["admin"])

    dump = database_dump(postgres_url)

    secret = token.rpartition("_")[2]
    assert keys.hashed(token).hex().encode() in dump
    assert secret.encode() not in dump
    assert secret[5:15].encode() not in dump


def test_a_new_key_is_valid_until_its_lifetime_ends() -> None:
    key, token = key_actions.create(
        BY,
        "first",
        ["tasks:submit", "tasks:read"],
        queue_names=["mail"],
        lifetime=HOUR,
        submit_rate=5,
    )

    grant, left = valid()[keys.hashed(token)]

    assert grant == Grant(
        key.id, frozenset({Scope.TASKS_SUBMIT, Scope.TASKS_READ}), frozenset({"mail"}), 5
    )
    assert 3590 < left <= 3600


def test_a_key_without_a_lifetime_does_not_end() -> None:
    _, token = key_actions.create(BY, "first", ["admin"])

    assert seconds_left(token) == float("inf")


def test_after_a_rotation_both_tokens_are_valid_until_the_overlap_ends() -> None:
    key, old = key_actions.create(BY, "first", ["admin"])
    _, new = key_actions.rotate(BY, key.id, HOUR)

    assert 3590 < seconds_left(old) <= 3600
    assert seconds_left(new) == float("inf")


def test_a_second_rotation_ends_the_oldest_token_at_once() -> None:
    key, oldest = key_actions.create(BY, "first", ["admin"])
    _, old = key_actions.rotate(BY, key.id, HOUR)
    _, new = key_actions.rotate(BY, key.id, HOUR)

    assert set(valid()) == {keys.hashed(old), keys.hashed(new)}
    assert keys.hashed(oldest) not in valid()


def test_a_rotation_does_not_lengthen_an_overlap_that_was_to_end_sooner() -> None:
    key, _ = key_actions.create(BY, "first", ["admin"])
    _, old = key_actions.rotate(BY, key.id, HOUR)
    key_actions.rotate(BY, key.id, timedelta(minutes=1))

    assert seconds_left(old) <= 60


def test_a_rotation_without_overlap_ends_the_old_token_at_once() -> None:
    key, old = key_actions.create(BY, "first", ["admin"])
    key_actions.rotate(BY, key.id, timedelta())

    assert keys.hashed(old) not in valid()


def test_revoking_ends_every_token_of_the_key() -> None:
    key, _ = key_actions.create(BY, "first", ["admin"])
    key_actions.rotate(BY, key.id, HOUR)
    key_actions.revoke(BY, key.id)

    assert valid() == {}
    with sessions.begin() as session:
        assert not key_store.any_valid(session)


def test_an_expired_key_is_not_valid() -> None:
    key, _ = key_actions.create(BY, "first", ["admin"])
    with sessions.begin() as session:
        session.execute(text("UPDATE api_keys SET expires_at = now()"))

    assert valid() == {}
    with pytest.raises(KeyEnded):
        key_actions.expire(BY, key.id, HOUR)


def test_a_key_that_has_ended_cannot_be_brought_back_by_rotating_it() -> None:
    key, _ = key_actions.create(BY, "first", ["admin"])
    key_actions.revoke(BY, key.id)

    with pytest.raises(KeyEnded):
        key_actions.rotate(BY, key.id, HOUR)
    assert valid() == {}


def test_revoking_again_changes_and_records_nothing() -> None:
    key, _ = key_actions.create(BY, "first", ["admin"])
    first = key_actions.revoke(BY, key.id).revoked_at
    again = key_actions.revoke(BY, key.id).revoked_at

    assert first == again
    assert [entry.action for entry in acts(key.id)] == ["key.revoke", "key.create"]


@pytest.mark.parametrize(
    "act", [key_actions.revoke, lambda by, id: key_actions.rotate(by, id, HOUR)]
)
def test_a_key_that_does_not_exist_is_not_found(act: object) -> None:
    with pytest.raises(KeyNotFound):
        act(BY, "nobody0000")  # type: ignore[operator]  # one of two functions


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["tasks:write"]}, "scopes"),
        ({"queue_names": ["a b"]}, "queue_names"),
        ({"queue_names": [f"queue{n}" for n in range(51)]}, "queue_names"),
        ({"scopes": ["admin"], "queue_names": ["mail"]}, "queue_names"),
        ({"scopes": ["metrics:read"], "queue_names": ["mail"]}, "queue_names"),
        ({"lifetime": timedelta()}, "expires_in"),
        ({"lifetime": timedelta(days=40000)}, "expires_in"),
        ({"submit_rate": 0}, "submit_rate"),
        ({"submit_rate": float("nan")}, "submit_rate"),
    ],
)
def test_an_impossible_key_is_refused_by_the_name_of_the_field(wanted: dict, field: str) -> None:
    with pytest.raises(InvalidKey) as refusal:
        key_actions.create(BY, **{"name": "first", "scopes": ["tasks:read"]} | wanted)

    assert set(refusal.value.messages) == {field}


@pytest.mark.parametrize(
    ("act", "field"),
    [
        (lambda id: key_actions.rotate(BY, id, timedelta(seconds=-1)), "overlap"),
        (lambda id: key_actions.rotate(BY, id, timedelta(days=91)), "overlap"),
        (lambda id: key_actions.expire(BY, id, timedelta()), "expires_in"),
    ],
)
def test_an_impossible_time_is_refused_and_changes_nothing(act: object, field: str) -> None:
    key, token = key_actions.create(BY, "first", ["admin"])

    with pytest.raises(InvalidKey) as refusal:
        act(key.id)  # type: ignore[operator]  # one of three functions

    assert set(refusal.value.messages) == {field}
    assert seconds_left(token) == float("inf")


def test_every_act_on_a_key_is_on_record_with_who_and_from_where() -> None:
    key, _ = key_actions.create(BY, "first", ["tasks:read"])
    key_actions.rotate(BY, key.id, HOUR)
    key_actions.expire(BY, key.id, HOUR)
    key_actions.revoke(BY, key.id)

    entries = acts(key.id)
    assert [entry.action for entry in entries] == [
        "key.revoke",
        "key.expire",
        "key.rotate",
        "key.create",
    ]
    assert {(entry.principal, entry.address) for entry in entries} == {BY}


def test_a_refused_act_leaves_neither_key_nor_record() -> None:
    with pytest.raises(InvalidKey):
        key_actions.create(BY, "first", ["nonsense"])

    with sessions.begin() as session:
        assert key_store.every(session) == []
        assert audit.page(session, AuditFilter(), 10) == ([], None)


@pytest.mark.parametrize("rewriting", ["UPDATE audit SET principal = 'x'", "DELETE FROM audit"])
def test_the_audit_cannot_be_rewritten(rewriting: str) -> None:
    key_actions.create(BY, "first", ["admin"])

    with pytest.raises(IntegrityError, match="append-only"), sessions.begin() as session:
        session.execute(text(rewriting))


def test_the_audit_is_paged_newest_first_without_a_gap() -> None:
    made = [key_actions.create(BY, f"key {n}", ["admin"])[0].id for n in range(5)]

    pages, before = [], None
    with sessions.begin() as session:
        while True:
            entries, before = audit.page(session, AuditFilter(action="key.create"), 2, before)
            pages.append([entry.subject for entry in entries])
            if before is None:
                break

    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]


def test_use_is_noted_to_the_minute() -> None:
    key, _ = key_actions.create(BY, "first", ["admin"])

    def used_at() -> object:
        with sessions.begin() as session:
            key_store.note_used(session, [key.id])
        with sessions.begin() as session:
            return key_store.find(session, key.id).last_used_at

    assert used_at() is not None
    assert used_at() == used_at()


def test_the_schema_refuses_a_hash_that_is_none() -> None:
    key, _ = key_actions.create(BY, "first", ["admin"])

    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.add(ApiKeySecret(hash=b"short", key_id=key.id, prefix="dtq_"))
