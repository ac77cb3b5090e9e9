"""What an admin may ask of API keys: create, rotate, expire, revoke. Each is on record."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from tasks import audit, key_store, keys
from tasks.actions import Client
from tasks.database import sessions
from tasks.errors import InvalidKey
from tasks.models import ApiKey

LONGEST_OVERLAP = timedelta(days=90)


def create(
    by: Client,
    name: str,
    scopes: Iterable[str],
    *,
    queue_names: Iterable[str] = (),
    lifetime: timedelta | None = None,
    submit_rate: float | None = None,
) -> tuple[ApiKey, str]:
    """Make a new key; its token is in this answer and nowhere else, ever."""
    scopes, queue_names = sorted(set(scopes)), sorted(set(queue_names))
    keys.refuse_impossible(name, scopes, queue_names, lifetime, submit_rate)
    key = ApiKey(
        id=keys.new_id(),
        name=name,
        scopes=scopes,
        queue_names=queue_names,
        submit_rate=submit_rate,
        expires_at=None if lifetime is None else func.now() + lifetime,
    )
    with sessions.begin() as session:
        session.add(key)
        session.flush()
        token = key_store.add_token(session, key)
        record(session, by, "key.create", key, name=name, scopes=scopes, queue_names=queue_names)
    return key, token


def rotate(by: Client, key_id: str, overlap: timedelta) -> tuple[ApiKey, str]:
    """Give the key a new token; the one before stays valid for `overlap`, older ones end now."""
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        raise InvalidKey({"overlap": [f"Must be 0 seconds to {LONGEST_OVERLAP.days} days."]})
    with sessions.begin() as session:
        key = key_store.hold(session, key_id)
        key_store.retire_tokens(session, key_id, overlap)
        token = key_store.add_token(session, key)
        record(session, by, "key.rotate", key, overlap=overlap.total_seconds())
    return key, token


def expire(by: Client, key_id: str, after: timedelta) -> ApiKey:
    """Let the key end by itself after this time from now."""
    if not timedelta() < after < keys.LONGEST_LIFE:
        raise InvalidKey({"expires_in": [keys.LIFE_SENTENCE]})
    with sessions.begin() as session:
        key = key_store.hold(session, key_id)
        key.expires_at = func.now() + after
        session.flush()
        session.refresh(key)
        record(session, by, "key.expire", key, after=after.total_seconds())
    return key


def revoke(by: Client, key_id: str) -> ApiKey:
    """End the key and all its tokens, everywhere within seconds. Again, it changes nothing."""
    with sessions.begin() as session:
        key = key_store.find(session, key_id)
        if key.revoked_at is None:
            key.revoked_at = func.now()
            session.flush()
            session.refresh(key)
            record(session, by, "key.revoke", key)
    return key


def record(session: Session, by: Client, action: str, key: ApiKey, **details: Any) -> None:
    audit.record(
        session, by.principal, action, subject=key.id, address=by.address, details=details or None
    )
