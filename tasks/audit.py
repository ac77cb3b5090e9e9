"""Who did what, when and from where."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, Text, bindparam, insert, select, text
from sqlalchemy.orm import Session

from tasks.express import Express, Hot, execute
from tasks.lifecycle import Move, Status
from tasks.models import AuditEntry

CLOCK = "clock"  # the principal of what the scheduler does
PENDING_SINCE = "pending_since"  # a detail of a move, from which the history is told


class Act(NamedTuple):
    """What was done, to be noted in the transaction in which it is done."""

    principal: str
    action: str
    subject: str | None = None
    address: str | None = None
    details: dict[str, Any] | None = None
    from_status: Status | None = None


_COLUMNS = ", ".join(Act._fields)
_RECORD = Hot(
    "record_acts",
    text(
        f"INSERT INTO audit ({_COLUMNS}) SELECT {_COLUMNS.replace('details', 'details::jsonb')} "  # noqa: S608  # our words
        f"FROM unnest({', '.join(f':{name}' for name in Act._fields)}) AS given ({_COLUMNS})"
    ).bindparams(*(bindparam(name, type_=ARRAY(Text)) for name in Act._fields)),
)


def record_all(session: Session, acts: Sequence[Act]) -> None:
    """Note many acts in one statement."""
    if acts:
        execute(session, _RECORD, _columns(acts))


def send_along(session: Express, acts: Sequence[Act]) -> None:
    """Note many acts together with the hot statement that follows."""
    if acts:
        session.send_along(_RECORD, _columns(acts))


def _columns(acts: Sequence[Act]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: list(values)
        for name, values in zip(Act._fields, zip(*acts, strict=True), strict=True)
    }
    columns["details"] = [each and orjson.dumps(each).decode() for each in columns["details"]]
    return columns


def record(
    session: Session,
    principal: str,
    action: str,
    *,
    subject: str | None = None,
    address: str | None = None,
    from_status: Status | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Note one act, in the transaction of the act itself."""
    session.execute(
        insert(AuditEntry).values(
            principal=principal,
            action=action,
            subject=subject,
            address=address,
            from_status=from_status,
            details=details,
        )
    )


def of_move(
    principal: str,
    move: Move,
    task_id: UUID | str,
    was: Status,
    pending_since: datetime | None,
    *,
    address: str | None = None,
    details: dict[str, Any] | None = None,
) -> Act:
    """What the audit says of a move, with what the task's row will not tell for long."""
    if was is Status.PENDING and pending_since is not None:
        details = {**(details or {}), PENDING_SINCE: pending_since.isoformat()}
    return Act(principal, f"task.{move.name.lower()}", str(task_id), address, details, was)


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """Which entries to list; None does not restrict."""

    principal: str | None = None
    action: str | None = None
    subject: str | None = None


def page(
    session: Session, which: AuditFilter, limit: int, before: int | None = None
) -> tuple[Sequence[AuditEntry], int | None]:
    """Up to `limit` entries, newest first, and the id before which the next page begins."""
    statement = select(AuditEntry)
    for column, value in (
        (AuditEntry.principal, which.principal),
        (AuditEntry.action, which.action),
        (AuditEntry.subject, which.subject),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if before is not None:
        statement = statement.where(AuditEntry.id < before)
    found = session.scalars(statement.order_by(AuditEntry.id.desc()).limit(limit + 1)).all()
    items = found[:limit]
    return items, items[-1].id if len(found) > limit else None
