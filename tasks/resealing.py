"""Seal every stored secret anew with the newest of PAYLOAD_KEYS, so that old keys can be dropped.

In small batches, so that the service goes on meanwhile. Every process must have the newest key
before, else what it accepts afterwards is sealed with an older one.
"""

import logging
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tasks import catalog, sealing
from tasks.catalog import Kind
from tasks.database import sessions
from tasks.errors import UnreadableSecret
from tasks.models import Schedule, Task

log = logging.getLogger(__name__)

BATCH = 500


def reseal_all() -> int:
    """Return how many payloads were sealed anew."""
    kinds = {name: kind for name, kind in catalog.kinds().items() if sealing.has_secrets(kind)}
    return sum(
        reseal_table(table, name, kinds)
        for table, name in ((Task, Task.name), (Schedule, Schedule.task_name))
    )


def reseal_table(table: Any, kind_name: Any, kinds: dict[str, Kind]) -> int:
    done, after = 0, None
    while True:
        with sessions.begin() as session:
            statement = select(table.id, kind_name, table.payload).where(kind_name.in_(kinds))
            if after is not None:
                statement = statement.where(table.id > after)
            rows = session.execute(
                statement.order_by(table.id).limit(BATCH).with_for_update(of=table)
            ).all()
            for id, name, payload in rows:
                done += reseal_row(session, table, id, kinds[name], payload)
        if len(rows) < BATCH:
            return done
        after = rows[-1][0]


def reseal_row(session: Session, table: Any, id: Any, kind: Kind, payload: Any) -> int:
    try:
        sealed = sealing.reseal(kind, payload)
    except UnreadableSecret as problem:
        log.warning("%s %s is left as it is: %s", table.__tablename__, id, problem)
        return 0
    if sealed is None:
        return 0
    session.execute(update(table).where(table.id == id).values(payload=dict(sealed)))
    return 1
