"""Pages by keyset: an opaque cursor stands for the last item of the page before."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from tasks.errors import InvalidCursor

VERSION = b"\x01"  # of what a cursor holds, so that it can change


def cursor_after(last: UUID | None) -> str | None:
    """The cursor of the page that begins after this item; None if there is none."""
    if last is None:
        return None
    return urlsafe_b64encode(VERSION + last.bytes).decode().rstrip("=")


def item_before(cursor: str | None) -> UUID | None:
    """The item after which a page begins, or `InvalidCursor`; None for the first page."""
    if cursor is None:
        return None
    try:
        held = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        if held[:1] != VERSION or cursor_after(last := UUID(bytes=held[1:])) != cursor:
            raise InvalidCursor()
    except ValueError:
        raise InvalidCursor() from None
    return last
