"""Duty: finished tasks are kept for a while, then deleted with their attempts."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from tasks import retention
from tasks.database import sessions
from tasks.lifecycle import Status

Places = dict[Status, datetime]  # before that, all that may go has gone


def prune_finished(keep: Mapping[Status, timedelta], places: Places, batch: int) -> int:
    """Delete up to `batch` tasks of each status; return how many went."""
    gone = 0
    for status, how_long in keep.items():
        with sessions.begin() as session:
            pruned = retention.prune(session, status, how_long, batch, places.get(status))
        places[status] = pruned.until
        gone += pruned.n
    return gone
