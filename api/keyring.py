"""The tokens this process believes in, read again every two seconds: asking costs microseconds.

A key that was revoked, rotated or limited is so for every process within `FRESH` seconds. A new
key works at once: an unknown token lets the process look again, a few times a second at most.
Without the database nobody is believed for longer than `STALE` seconds, and `DatabaseUnavailable`
is said instead: an outage is never mistaken for a wrong key.
"""

import logging
import threading
import time

from tasks import key_store, keys
from tasks.database import sessions
from tasks.errors import DatabaseUnavailable, NoKeys
from tasks.keys import Grant

log = logging.getLogger(__name__)

FRESH = 2.0  # seconds; then one request reads the keys again, and the others do not wait for it
STALE = 4.0  # seconds; then nobody is believed before they were read again
GLANCES = 20  # looks for tokens that are not known yet, at once …
GLANCE = 0.25  # … and seconds until there may be one more
PAUSE = 0.5  # seconds before a database that did not answer is asked again
PATIENCE = 1.5  # seconds to wait for another thread that is asking it
USE_NOTED = 60.0  # seconds between notes of which keys were used

Token = tuple[Grant, float]  # what it allows, and until when by this process's monotonic clock


def refuse_without_keys() -> None:
    """Raise `NoKeys` if nobody could be let in; while the database is away, nobody knows."""
    try:
        with sessions.begin() as session:
            known = key_store.any_valid(session)
    except DatabaseUnavailable:
        log.warning("PostgreSQL does not answer yet; whether there are API keys is not known")
        return
    if not known:
        raise NoKeys()


class Keyring:
    """One process's memory of the valid tokens, by their hashes."""

    def __init__(self) -> None:
        self._tokens: dict[bytes, Token] = {}
        self._read_at = self._failed_at = self._noted_at = -1e9
        self._glances, self._glanced_at = float(GLANCES), time.monotonic()
        self._reading = threading.Lock()
        self._used: set[str] = set()

    def find(self, token: str) -> Grant | None:
        """What this token allows, or None if it is not, or no longer, valid."""
        return self.find_hash(keys.hashed(token)) if keys.well_formed(token) else None

    def find_hash(self, hash: bytes) -> Grant | None:
        """The same for a token that is known by its hash."""
        now = time.monotonic()
        age = now - self._read_at
        if age > FRESH:
            self._read(wait=age > STALE)
        found = self._tokens.get(hash)
        if found is None and self._read_at < now and self._may_glance(now):
            self._read(wait=True)
            found = self._tokens.get(hash)
        if found is None or found[1] < now:
            return None
        grant = found[0]
        self._used.add(grant.key_id)
        return grant

    def _may_glance(self, now: float) -> bool:
        more = max(0.0, now - self._glanced_at) / GLANCE
        self._glances, self._glanced_at = min(GLANCES, self._glances + more), now
        if self._glances < 1:
            return False
        self._glances -= 1
        return True

    def _read(self, wait: bool) -> None:
        asked_at = time.monotonic()
        if not self._reading.acquire(timeout=PATIENCE if wait else 0):
            if wait:
                raise DatabaseUnavailable()
            return
        try:
            if self._read_at >= asked_at:  # another thread did, while this one waited
                return
            if time.monotonic() - self._failed_at < PAUSE:
                raise DatabaseUnavailable()
            try:
                self._ask_database()
            except DatabaseUnavailable:
                self._failed_at = time.monotonic()
                raise
        finally:
            self._reading.release()

    def _ask_database(self) -> None:
        began = time.monotonic()
        notes_use = bool(self._used) and began - self._noted_at > USE_NOTED
        used, self._used = (self._used, set()) if notes_use else (set(), self._used)
        with sessions.begin() as session:
            if used:
                key_store.note_used(session, used)
                self._noted_at = began
            valid = key_store.valid(session)
        self._tokens = {hash: (grant, began + left) for hash, (grant, left) in valid.items()}
        self._read_at = began
