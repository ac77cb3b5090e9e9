"""Who did what, when and from where."""

from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from tasks.lifecycle import Status
from tasks.models import AuditEntry


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
