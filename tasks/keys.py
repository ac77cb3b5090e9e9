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
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from zlib import crc32

from tasks.catalog import QUEUE_NAME
from tasks.errors import InvalidKey

ID_LETTERS = string.ascii_lowercase + string.digits
SECRET_LETTERS = string.ascii_letters + string.digits
SECRET_LENGTH = 43  # of 62 letters: 256 bits
CHECK_LENGTH = 6
ID_LENGTH = 10
TOKEN = re.compile(r"dtq_([a-z0-9]{10})_([A-Za-z0-9]{43})([A-Za-z0-9]{6})")
NAME_LENGTH = 100
QUEUES_LIMIT = 50  # queue names one key may be bound to
LONGEST_LIFE = timedelta(days=36500)
LIFE_SENTENCE = "Must be more than 0 seconds and less than 100 years."


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
    Scope.PAYLOADS_READ: "see payloads with their secret fields, results and errors as well",
    Scope.TASKS_MANAGE: "cancel and rerun tasks",
    Scope.SCHEDULES_MANAGE: "create, change, pause, run and delete schedules",
    Scope.QUEUES_MANAGE: "reserved for pausing queues; opens nothing yet",
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


def new_id() -> str:
    return "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))


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


def prefix_of(token: str) -> str:
    """How a token begins: enough to tell two of a key apart, and nothing to guess the rest from."""
    return token[: -SECRET_LENGTH - CHECK_LENGTH + 4]


def hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


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
    if lifetime is not None and not timedelta() < lifetime < LONGEST_LIFE:
        messages["expires_in"] = [LIFE_SENTENCE]
    if submit_rate is not None and not 0 < submit_rate < 1e9:
        messages["submit_rate"] = ["Must be more than 0 tasks a second."]
    if messages:
        raise InvalidKey(messages)
