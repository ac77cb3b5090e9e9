"""The fast reader of submissions accepts exactly what the documented schema accepts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from api import schemas
from api.submissions import Envelope, problems_of

TIMES = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.datetimes().map(datetime.isoformat),
    st.sampled_from(
        [
            "2030-01-31T12:00:00Z",
            "2030-01-31t12:00:00z",
            "2030-01-31 12:00:00Z",
            "2030-01-31",
            "2030-02-30T00:00:00Z",
            "9999-12-31T23:59:59-12:00",
            "0001-01-01T00:00:00+12:00",
            "2030-01-31T12:00:00.123456789Z",
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 0.1, 1, 1000, 1001, 604800, 604800.5, 315360000.0, True, False, "1"]),
)
NAMES = st.one_of(
    st.text(max_size=5),
    st.from_regex(re.compile("[A-Za-z0-9_.-]{1,8}"), fullmatch=True),
    st.sampled_from(["a" * 64, "a" * 65, "a" * 100, "a" * 101, "a\n", "", "-a"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
LABELS = st.one_of(
    st.dictionaries(NAMES, st.text(max_size=300), max_size=3),
    st.dictionaries(st.integers(0, 99).map(str), st.just("x"), min_size=30, max_size=35),
)
PRIORITIES = st.sampled_from(["critical", "high", "normal", "low", "CRITICAL", "urgent", ""])

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "payload": st.dictionaries(st.text(max_size=3), JSON, max_size=2),
    "queue_name": NAMES,
    "priority": PRIORITIES,
    "run_at": TIMES,
    "delay": NUMBERS,
    "max_retries": NUMBERS,
    "timeout": NUMBERS,
    "expires_at": TIMES,
    "labels": LABELS,
}
SUBMISSIONS = st.fixed_dictionaries(
    {},
    optional={"name": NAMES | JSON, "else": JSON}
    | {name: plausible | JSON for name, plausible in FIELDS.items()},
)


@given(SUBMISSIONS | JSON)
@example({"name": "x", "run_at": "2030-01-01T00:00:00Z", "delay": 0})
@example({"name": "x", "run_at": "2030-01-01T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"})
@example({"name": "x", "run_at": None, "delay": None, "labels": None, "payload": None})
@settings(max_examples=1500, deadline=None)
def test_both_accept_the_same(body: Any) -> None:
    try:
        fast = msgspec.convert(body, Envelope)
    except msgspec.ValidationError:
        fast = None
    try:
        documented = schemas.SubmissionBody().load(body)
    except ValidationError:
        documented = None

    assert (fast is None) == (documented is None)
    if fast is not None and documented is not None:
        for name, value in documented.items():
            assert getattr(fast, name) == value


@given(SUBMISSIONS | JSON)
@settings(max_examples=300, deadline=None)
def test_what_is_refused_is_always_explained(body: Any) -> None:
    try:
        msgspec.convert(body, Envelope)
    except msgspec.ValidationError:
        assert problems_of(body)


@pytest.mark.parametrize("limit", ["NAME", "QUEUE_NAME", "LABEL"])
def test_patterns_are_anchored_as_openapi_wants_them(limit: str) -> None:
    pattern: str = getattr(schemas, limit)

    assert pattern.startswith("^") and pattern.endswith("$")
