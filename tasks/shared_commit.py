"""Concurrent submissions of one process share a statement, a commit and a push.

Nothing waits for a set to fill: whoever comes first commits at once, and what arrives meanwhile
goes together next. Under load the sets form by themselves.
"""

import threading
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tasks import audit, store
from tasks.audit import Act
from tasks.database import sessions
from tasks.errors import DatabaseUnavailable
from tasks.store import Stored

LARGEST = 500  # rows in one commit


class Entry:
    """One caller's rows on their way into the database."""

    __slots__ = ("acts", "error", "leads", "ready", "rows", "stored")

    def __init__(self, rows: list[dict[str, Any]], acts: Sequence[Act]) -> None:
        self.rows = rows
        self.acts = acts  # for the audit
        self.ready = threading.Event()
        self.leads = False  # it is this caller's turn to commit for all who wait
        self.stored: dict[UUID, Stored] = {}
        self.error: Exception | None = None


class SharedCommit:
    """Lets one of several concurrent callers commit for all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Entry] = []
        self._busy = False

    def insert(self, rows: list[dict[str, Any]], acts: Sequence[Act] = ()) -> dict[UUID, Stored]:
        """Store these rows, perhaps together with others'; they are committed when this returns."""
        entry = Entry(rows, acts)
        with self._lock:
            self._waiting.append(entry)
            leads, self._busy = not self._busy, True
        if not leads:
            entry.ready.wait()
            leads = entry.leads
        if leads:
            self._commit_for_all()
        if entry.error is not None:
            raise entry.error
        return entry.stored

    def _commit_for_all(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
        try:
            self._commit(batch)
        finally:
            with self._lock:
                if isinstance(batch[-1].error, DatabaseUnavailable):
                    # Who came meanwhile has waited as long already: nobody waits twice.
                    for entry in self._waiting:
                        entry.error = batch[-1].error
                    batch += self._waiting
                    self._waiting = []
                if self._waiting:
                    following = self._waiting[0]
                    following.leads = True
                    following.ready.set()
                else:
                    self._busy = False
            for entry in batch:
                entry.ready.set()

    def _commit(self, batch: list[Entry]) -> None:
        try:
            with sessions.express("submit") as session:
                audit.send_along(session, [act for entry in batch for act in entry.acts])
                stored = store.insert_tasks(session, [row for entry in batch for row in entry.rows])
        except DatabaseUnavailable as error:
            for entry in batch:
                entry.error = error
        except Exception as error:  # noqa: BLE001  # each caller gets it raised
            if len(batch) == 1:
                batch[0].error = error
            else:  # one caller's rows must not fail the others'
                for entry in batch:
                    self._commit([entry])
        else:
            for entry in batch:
                entry.stored = {row["id"]: stored[row["id"]] for row in entry.rows}
