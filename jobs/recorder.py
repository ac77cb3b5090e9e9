"""Puts outcomes on record: first in PostgreSQL, then where RQ's tools look."""

from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import RedisError

from jobs.mirror import Mirror
from jobs.settling import Done, Outbox


class Recorded(NamedTuple):
    """What came of one set."""

    done: Sequence[Done]
    trouble: RedisError | None  # the mirror could not be told; None also if it was not to be
    shown: bool


def record(outbox: Outbox, mirror: Mirror | None) -> Recorded:
    """Settle what has been held longest, then tell the mirror, if there is one.

    Raises `DatabaseUnavailable`; what is not on record is in the outbox as before.
    """
    done = outbox.settle_some()
    try:
        if mirror is not None:
            mirror.show_ended(done)
    except RedisError as error:
        return Recorded(done, error, shown=True)
    return Recorded(done, None, shown=mirror is not None)
