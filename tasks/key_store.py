"""Queries about API keys and their tokens. PostgreSQL's clock says what is still valid."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import and_, exists, func, literal, or_, select, update
from sqlalchemy.orm import Session

from tasks import keys
from tasks.errors import KeyEnded, KeyNotFound
from tasks.keys import Grant, Scope
from tasks.models import ApiKey, ApiKeySecret

VALID = and_(
    ApiKey.id == ApiKeySecret.key_id,
    ApiKey.revoked_at.is_(None),
    or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
    or_(ApiKeySecret.expires_at.is_(None), ApiKeySecret.expires_at > func.now()),
)


def find(session: Session, key_id: str) -> ApiKey:
    """The key of this id, or `KeyNotFound`."""
    key = session.get(ApiKey, key_id, populate_existing=True)
    if key is None:
        raise KeyNotFound()
    return key


def hold(session: Session, key_id: str) -> ApiKey:
    """The key, kept from others until the transaction ends; `KeyEnded` if it is not valid."""
    key = session.get(ApiKey, key_id, with_for_update=True)
    if key is None:
        raise KeyNotFound()
    over = or_(ApiKey.revoked_at.is_not(None), ApiKey.expires_at <= func.now())
    if session.scalar(select(over).where(ApiKey.id == key_id)):
        raise KeyEnded()
    return key


def every(session: Session) -> Sequence[ApiKey]:
    """All keys there ever were, newest first."""
    return session.scalars(select(ApiKey).order_by(ApiKey.created_at.desc(), ApiKey.id)).all()


def any_valid(session: Session) -> bool:
    """Whether anybody could be let in at all."""
    return bool(session.scalar(select(exists().where(VALID))))


def valid(session: Session) -> dict[bytes, tuple[Grant, float]]:
    """Every token that is valid now, by its hash: what it allows, and for how many seconds more."""
    ends = func.least(ApiKey.expires_at, ApiKeySecret.expires_at)
    left = func.coalesce(func.extract("epoch", ends - func.now()), literal(float("inf")))
    rows = session.execute(
        select(
            ApiKeySecret.hash,
            ApiKey.id,
            ApiKey.scopes,
            ApiKey.queue_names,
            ApiKey.submit_rate,
            left,
        ).where(VALID)
    )
    return {
        hash: (
            Grant(
                key_id,
                frozenset(Scope(scope) for scope in scopes if scope in set(Scope)),
                frozenset(queue_names),
                submit_rate,
            ),
            float(seconds),
        )
        for hash, key_id, scopes, queue_names, submit_rate, seconds in rows
    }


def add_token(session: Session, key: ApiKey) -> str:
    """Give the key one more token and return it."""
    token = keys.new_token(key.id)
    session.add(
        ApiKeySecret(
            hash=keys.hashed(token),
            key_id=key.id,
            prefix=keys.prefix_of(token),
            created_at=func.clock_timestamp(),
        )
    )
    session.flush()
    session.refresh(key)
    return token


def retire_tokens(session: Session, key_id: str, overlap: timedelta) -> None:
    """Let the newest token of the key end after `overlap`, and older ones at once."""
    newest = select(func.max(ApiKeySecret.created_at)).where(ApiKeySecret.key_id == key_id)
    is_newest = ApiKeySecret.created_at == newest.scalar_subquery()
    for which, ends in ((is_newest, func.now() + overlap), (~is_newest, func.now())):
        session.execute(
            update(ApiKeySecret)
            .where(ApiKeySecret.key_id == key_id, which)
            .values(expires_at=func.least(ApiKeySecret.expires_at, ends))
            .execution_options(synchronize_session=False)
        )


def note_used(session: Session, key_ids: Collection[str]) -> None:
    """Remember to the minute when these keys were last used."""
    long_ago = func.now() - timedelta(minutes=1)
    session.execute(
        update(ApiKey)
        .where(
            ApiKey.id.in_(sorted(key_ids)),
            or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < long_ago),
        )
        .values(last_used_at=func.now())
    )
