"""Cursors are opaque, and only our own are taken."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.paging import cursor_after, item_before
from tasks.errors import InvalidCursor


@given(st.uuids())
def test_a_cursor_leads_back_to_its_item(id: UUID) -> None:
    assert item_before(cursor_after(id)) == id


def test_the_first_page_needs_no_cursor_and_the_last_gives_none() -> None:
    assert item_before(None) is None
    assert cursor_after(None) is None


@given(st.text(max_size=40) | st.from_regex(r"\A[A-Za-z0-9_-]{20,26}\Z"))
def test_any_other_text_is_refused(text: str) -> None:
    try:
        item = item_before(text)
    except InvalidCursor:
        return
    assert cursor_after(item) == text


@pytest.mark.parametrize("text", ["", "A", "AQ==", "Ag" + "A" * 21, "AQ" + "A" * 22 + "="])
def test_a_cursor_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        item_before(text)
