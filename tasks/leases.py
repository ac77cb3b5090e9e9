"""Who works here: worker incarnations and the leases they are believed alive by.

A worker's row is its life. While the row is there its lease may be renewed, even late: after an
outage of PostgreSQL nobody loses work that nobody else has taken. Burying a worker deletes the
row, and from then on the worker can neither renew nor start anything.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tasks.express import Express, Hot, execute
from tasks.lifecycle import Status
from tasks.models import Task, Worker


def register(
    session: Session,
    worker_id: str,
    *,
    host: str,
    pid: int,
    queues: Sequence[str],
    kinds: Sequence[str],
    concurrency: int,
    lease: timedelta,
) -> None:
    """Begin a worker's life; again, if the answer to that was lost."""
    expires_at = func.now() + lease
    session.execute(
        insert(Worker)
        .values(
            id=worker_id,
            host=host,
            pid=pid,
            queues=list(queues),
            kinds=list(kinds),
            concurrency=concurrency,
            expires_at=expires_at,
        )
        .on_conflict_do_update(index_elements=[Worker.id], set_={"expires_at": expires_at})
    )


def renew(
    session: Session,
    worker_id: str,
    lease: timedelta,
    *,
    stopping: bool = False,
    succeeded: int = 0,
    failed: int = 0,
) -> bool:
    """Extend a lease and add what was done since; False means the worker was buried."""
    row = session.execute(
        update(Worker)
        .where(Worker.id == worker_id)
        .values(
            expires_at=func.now() + lease,
            last_seen_at=func.now(),
            stopping=stopping,
            succeeded=Worker.succeeded + succeeded,
            failed=Worker.failed + failed,
        )
        .returning(Worker.id)
    )
    return row.one_or_none() is not None


def leave(session: Session, worker_id: str) -> None:
    """End a worker's life in an orderly way, after it gave back what it held."""
    session.execute(delete(Worker).where(Worker.id == worker_id))


def bury_silent(session: Session, lease: timedelta) -> list[str]:
    """End the lives of workers whose lease has run out; return their ids.

    Nobody is buried until PostgreSQL has been up for longer than one lease: while it was down no
    worker could renew.
    """
    silent = (
        select(Worker.id)
        .where(
            Worker.expires_at < func.now(),
            literal_column("pg_postmaster_start_time()") < func.now() - lease,
        )
        .with_for_update(skip_locked=True)
        .cte("silent")
    )
    gone = session.scalars(delete(Worker).where(Worker.id == silent.c.id).returning(Worker.id))
    return list(gone)


_lives = select(Worker.id).where(Worker.id == Task.worker_id).exists()
_orphans = select(Task).where(Task.status == literal_column(f"'{Status.RUNNING}'"), ~_lives)
ORPHAN = Hot("look_for_orphans", _orphans.with_only_columns(Task.id).limit(1))


def has_orphans(session: Session | Express) -> bool:
    """Whether there are running tasks whose worker is not alive."""
    return bool(execute(session, ORPHAN, {}))


def orphans(session: Session, limit: int) -> list[Task]:
    """Up to `limit` running tasks whose worker is not alive, locked against other schedulers."""
    return list(session.scalars(_orphans.limit(limit).with_for_update(skip_locked=True)))


ALIVE = Hot("look_at_workers", select(Worker.id))


def alive(session: Session | Express) -> set[str]:
    """The ids of every worker that has a life, silent or not."""
    return {id for (id,) in execute(session, ALIVE, {})}


def forget_disk(session: Session) -> None:
    """Do not wait for the disk at this commit: a lost heartbeat is repaired by the next."""
    session.execute(text("SET LOCAL synchronous_commit = off"))
