"""The audit: who did what, when and from where."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.auth import requires
from api.contract import Blueprint
from api.key_schemas import AN_AUDIT, AuditFilter, AuditPage
from api.paging import cursor_after, item_before
from tasks import audit
from tasks.database import sessions
from tasks.errors import InvalidCursor
from tasks.keys import Scope
from tasks.models import AuditEntry

LARGEST_ID = 2**63 - 1

blueprint = Blueprint("audit", __name__, url_prefix="/audit", description="Who did what.")


def written(page: tuple[Sequence[AuditEntry], int | None]) -> dict[str, Any]:
    """A page of the audit as a client receives it."""
    entries, last = page
    return {
        "items": [
            {
                "at": entry.at,
                "principal": entry.principal,
                "address": entry.address,
                "action": entry.action,
                "subject": entry.subject,
                "from_status": entry.from_status,
                "details": entry.details,
            }
            for entry in entries
        ],
        "next_cursor": cursor_after(None if last is None else UUID(int=last)),
    }


@blueprint.route("/")
@blueprint.asks(AuditFilter)
@blueprint.answers(200, AuditPage, write=written, example=AN_AUDIT)
@blueprint.raises(InvalidCursor)
@requires(Scope.ADMIN)
def entries(wanted: dict[str, Any]) -> tuple[Sequence[AuditEntry], int | None]:
    """List what was done to the service, newest first. Nothing in it is ever changed."""
    limit, after = wanted.pop("limit"), item_before(wanted.pop("cursor", None))
    if after is not None and after.int > LARGEST_ID:
        raise InvalidCursor()
    with sessions.begin() as session:
        before = None if after is None else after.int
        return audit.page(session, audit.AuditFilter(**wanted), limit, before)
