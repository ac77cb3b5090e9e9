"""Repeating a request safely: the first answer to each Idempotency-Key is remembered.

After the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key).
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from tasks.errors import IdempotencyKeyReused, TaskGone
from tasks.models import IdempotencyKey, Task


def recall(
    session: Session, principal: str, key: str, is_same: Callable[[bytes], bool], hours: float
) -> list[UUID] | None:
    """The task ids of the first answer to this key, or None if it is new, or too old to count.

    `is_same` judges the digest that was remembered: another request is `IdempotencyKeyReused`.
    """
    known = session.scalar(
        select(IdempotencyKey).where(
            IdempotencyKey.principal == principal,
            IdempotencyKey.key == key,
            IdempotencyKey.created_at >= func.now() - timedelta(hours=hours),
        )
    )
    if known is None:
        return None
    if not is_same(known.request_hash):
        raise IdempotencyKeyReused()
    return list(known.task_ids)


def remember(
    session: Session,
    principal: str,
    key: str,
    digest: bytes,
    is_same: Callable[[bytes], bool],
    task_ids: Sequence[UUID],
    hours: float,
) -> list[UUID] | None:
    """Take this key for these tasks and return None, or return the ids it already stands for.

    Waits for a rival transaction that is taking the same key, so exactly one of many wins.
    """
    new = insert(IdempotencyKey).values(
        principal=principal, key=key, request_hash=digest, task_ids=list(task_ids)
    )
    taken = session.scalar(
        new.on_conflict_do_update(
            index_elements=[IdempotencyKey.principal, IdempotencyKey.key],
            set_={
                "request_hash": new.excluded.request_hash,
                "task_ids": new.excluded.task_ids,
                "created_at": func.now(),
            },
            where=IdempotencyKey.created_at < func.now() - timedelta(hours=hours),
        ).returning(IdempotencyKey.key)
    )
    return None if taken is not None else recall(session, principal, key, is_same, hours)


def first_answer(session: Session, task_id: UUID) -> Task:
    """The task that a key stands for, as it is now, or `TaskGone`."""
    task = session.get(Task, task_id, populate_existing=True)
    if task is None:
        raise TaskGone()
    return task


def prune(session: Session, hours: float, limit: int) -> int:
    """Forget keys older than that, at most `limit` of them; return how many."""
    old = (
        select(IdempotencyKey.principal, IdempotencyKey.key)
        .where(IdempotencyKey.created_at < func.now() - timedelta(hours=hours))
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    gone = session.execute(
        delete(IdempotencyKey)
        .where(IdempotencyKey.principal == old.c.principal, IdempotencyKey.key == old.c.key)
        .returning(IdempotencyKey.key)
    )
    return len(gone.all())
