"""API keys: who may ask for what. A token is shown once and kept only as its hash.

A token reads `dtq_<key id>_<secret><check>`: the id is public and names the key everywhere else,
the secret has 256 random bits, and the check (a CRC, as GitHub's tokens carry) lets a mistyped
token be refused, and a leaked one be found by scanners, without asking the database.

The hash is one plain SHA-256 of the token. Slow password hashes and peppers protect secrets that
people choose; nobody can try 2²⁵⁶ secrets, so here they would only make every request slow.
"""

import hashlib
import re
import secrets
import string
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from zlib import crc32

from sqlalchemy import and_, exists, func, literal, or_, select, update
from sqlalchemy.orm import Session

from tasks.catalog import QUEUE_NAME
from tasks.errors import InvalidKey, KeyEnded, KeyNotFound
from tasks.models import ApiKey, ApiKeySecret

ID_LETTERS = string.ascii_lowercase + string.digits
SECRET_LETTERS = string.ascii_letters + string.digits
SECRET_LENGTH = 43  # of 62 letters: 256 bits
CHECK_LENGTH = 6
KEY_ID = re.compile(r"[a-z0-9]{10}")
TOKEN = re.compile(r"dtq_([a-z0-9]{10})_([A-Za-z0-9]{43})([A-Za-z0-9]{6})")
NAME_LENGTH = 100
QUEUES_LIMIT = 50  # queue names one key may be bound to


class Scope(StrEnum):
    """What a key may do. The value is what clients and operators write."""

    TASKS_SUBMIT = "tasks:submit"
    TASKS_READ = "tasks:read"
    PAYLOADS_READ = "payloads:read"
    TASKS_MANAGE = "tasks:manage"
    SCHEDULES_MANAGE = "schedules:manage"
    QUEUES_MANAGE = "queues:manage"
    METRICS_READ = "metrics:read"
    ADMIN = "admin"


MEANINGS = {
    Scope.TASKS_SUBMIT: "submit tasks",
    Scope.TASKS_READ: "see tasks, their attempts and history, and schedules, without payloads",
    Scope.PAYLOADS_READ: "see payloads, results and errors as well",
    Scope.TASKS_MANAGE: "cancel and rerun tasks",
    Scope.SCHEDULES_MANAGE: "create, change, pause, run and delete schedules",
    Scope.QUEUES_MANAGE: "pause and resume queues",
    Scope.METRICS_READ: "see queues, workers, metrics and the dashboard",
    Scope.ADMIN: "everything, API keys and the audit included",
}
OF_THE_WHOLE_SERVICE = frozenset({Scope.METRICS_READ, Scope.ADMIN})  # never bound to queue names


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid token allows: the answer to "who is asking, and may they?"."""

    key_id: str
    scopes: frozenset[Scope]
    queue_names: frozenset[str] = frozenset()  # empty: all
    submit_rate: float | None = None  # tasks per second; None: the service's default

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def covers(self, queue_name: str) -> bool:
        """Whether tasks of this queue may be submitted, seen and managed at all."""
        return not self.queue_names or queue_name in self.queue_names


EVERYTHING = Grant(key_id="", scopes=frozenset({Scope.ADMIN}))  # with AUTH=off


def new_token(key_id: str) -> str:
    secret = "".join(secrets.choice(SECRET_LETTERS) for _ in range(SECRET_LENGTH))
    return f"dtq_{key_id}_{secret}{check(key_id, secret)}"


def check(key_id: str, secret: str) -> str:
    """Six letters that follow from the rest of the token."""
    number, letters = crc32(f"{key_id}_{secret}".encode()), ""
    for _ in range(CHECK_LENGTH):
        number, letter = divmod(number, len(SECRET_LETTERS))
        letters += SECRET_LETTERS[letter]
    return letters


def well_formed(token: str) -> bool:
    """Whether this could be one of our tokens; most that are not need no look into the database."""
    parts = TOKEN.fullmatch(token)
    return parts is not None and check(parts[1], parts[2]) == parts[3]


def hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def create(
    session: Session,
    name: str,
    scopes: Iterable[str],
    *,
    queue_names: Iterable[str] = (),
    lifetime: timedelta | None = None,
    submit_rate: float | None = None,
) -> tuple[ApiKey, str]:
    """Store a new key and return it with its token, which is never seen again."""
    scopes, queue_names = sorted(set(scopes)), sorted(set(queue_names))
    refuse_impossible(name, scopes, queue_names, lifetime, submit_rate)
    key = ApiKey(
        id="".join(secrets.choice(ID_LETTERS) for _ in range(10)),
        name=name,
        scopes=scopes,
        queue_names=queue_names,
        submit_rate=submit_rate,
        expires_at=None if lifetime is None else func.now() + lifetime,
    )
    session.add(key)
    session.flush()
    return key, _add_secret(session, key)


def refuse_impossible(
    name: str,
    scopes: Sequence[str],
    queue_names: Sequence[str],
    lifetime: timedelta | None,
    submit_rate: float | None,
) -> None:
    """Raise `InvalidKey` naming each field that makes no sense."""
    messages: dict[str, list[str]] = {}
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
        messages["name"] = [f"Must be 1 to {NAME_LENGTH} printable characters."]
    if not scopes:
        messages["scopes"] = ["At least one scope is needed."]
    elif unknown := [scope for scope in scopes if scope not in set(Scope)]:
        messages["scopes"] = [f"Unknown scope {unknown[0]!r}; known: {', '.join(Scope)}."]
    elif queue_names and OF_THE_WHOLE_SERVICE.intersection(scopes):
        messages["queue_names"] = [
            f"A key with {' or '.join(sorted(OF_THE_WHOLE_SERVICE))} sees the whole service; "
            "it cannot be bound to queue names."
        ]
    if len(queue_names) > QUEUES_LIMIT:
        messages["queue_names"] = [f"At most {QUEUES_LIMIT}."]
    elif not all(map(QUEUE_NAME.fullmatch, queue_names)):
        messages["queue_names"] = ["A queue name is 1 to 64 letters, digits, '_' and '-'."]
    if lifetime is not None and not timedelta() < lifetime < timedelta(days=36500):
        messages["expires_in"] = ["Must be more than 0 seconds and less than 100 years."]
    if submit_rate is not None and not 0 < submit_rate < 1e9:
        messages["submit_rate"] = ["Must be more than 0 tasks a second."]
    if messages:
        raise InvalidKey(messages)


def rotate(session: Session, key_id: str, overlap: timedelta) -> tuple[ApiKey, str]:
    """Give the key a new token; the one before stays valid for `overlap`, older ones end now."""
    key = _locked(session, key_id)
    newest = select(func.max(ApiKeySecret.created_at)).where(ApiKeySecret.key_id == key_id)
    ends = func.now() + overlap
    session.execute(
        update(ApiKeySecret)
        .where(ApiKeySecret.key_id == key_id, ApiKeySecret.created_at < newest.scalar_subquery())
        .values(expires_at=func.least(ApiKeySecret.expires_at, func.now()))
    )
    session.execute(
        update(ApiKeySecret)
        .where(
            ApiKeySecret.key_id == key_id,
            or_(ApiKeySecret.expires_at.is_(None), ApiKeySecret.expires_at > func.now()),
        )
        .values(expires_at=func.least(ApiKeySecret.expires_at, ends))
    )
    return key, _add_secret(session, key)


def expire(session: Session, key_id: str, after: timedelta) -> ApiKey:
    """Let the key end by itself after this time from now."""
    key = _locked(session, key_id)
    key.expires_at = func.now() + after
    session.flush()
    session.refresh(key)
    return key


def revoke(session: Session, key_id: str) -> ApiKey:
    """End the key and all its tokens. Doing it again changes nothing."""
    key = _found(session.get(ApiKey, key_id, with_for_update=True))
    if key.revoked_at is None:
        key.revoked_at = func.now()
        session.flush()
        session.refresh(key)
    return key


def find(session: Session, key_id: str) -> ApiKey:
    """The key of this id, or `KeyNotFound`."""
    return _found(session.get(ApiKey, key_id))


def every(session: Session) -> Sequence[ApiKey]:
    """All keys there ever were, newest first."""
    return session.scalars(select(ApiKey).order_by(ApiKey.created_at.desc(), ApiKey.id)).all()


def any_valid(session: Session) -> bool:
    """Whether anybody could be let in at all."""
    return bool(session.scalar(select(exists().where(_VALID))))


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
        ).where(_VALID)
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


def _add_secret(session: Session, key: ApiKey) -> str:
    token = new_token(key.id)
    session.add(
        ApiKeySecret(
            hash=hashed(token),
            key_id=key.id,
            prefix=token[: -SECRET_LENGTH - CHECK_LENGTH + 4],
            created_at=func.clock_timestamp(),
        )
    )
    session.flush()
    session.refresh(key)
    return token


def _locked(session: Session, key_id: str) -> ApiKey:
    key = _found(session.get(ApiKey, key_id, with_for_update=True))
    over = or_(ApiKey.revoked_at.is_not(None), ApiKey.expires_at <= func.now())
    if session.scalar(select(over).where(ApiKey.id == key_id)):
        raise KeyEnded()
    return key


def _found(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise KeyNotFound()
    return key


_VALID = and_(
    ApiKey.id == ApiKeySecret.key_id,
    ApiKey.revoked_at.is_(None),
    or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
    or_(ApiKeySecret.expires_at.is_(None), ApiKeySecret.expires_at > func.now()),
)
