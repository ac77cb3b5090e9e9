"""Marshmallow fields that accept exactly what our OpenAPI document says, and nothing besides."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from marshmallow import ValidationError, fields
from marshmallow.validate import Regexp

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)  # far from the last year Python's calendar knows

AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]


def instant(text: Any) -> datetime:
    """An RFC 3339 time with its offset, in UTC; `ValueError` if it is none or out of range."""
    try:
        found: datetime = msgspec.convert(text, AwareTime)
    except msgspec.ValidationError:
        raise ValueError(
            "Not an RFC 3339 time with an offset, such as 2030-01-31T12:00:00Z."
        ) from None
    return within_range(found)


def within_range(found: datetime) -> datetime:
    """The same time in UTC; `ValueError` if it is out of the range we keep."""
    if not EARLIEST <= found < LATEST:
        raise ValueError(f"Must be between the years {EARLIEST.year} and {LATEST.year}.")
    return found.astimezone(UTC)


class Time(fields.AwareDateTime):
    """An instant: RFC 3339 with an offset."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime:
        try:
            return instant(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Number(fields.Float):
    """A JSON number, not a text that looks like one."""

    def _validated(self, value: Any) -> float:
        if type(value) not in (int, float):
            raise self.make_error("invalid", input=value)
        return float(value)


class Whole(fields.Integer):
    """A JSON integer."""

    def _validated(self, value: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return value


class Spelled(Regexp):
    """The whole text matches a pattern that is written `^…$`, as OpenAPI wants it."""

    def __init__(self, pattern: str, error: str) -> None:
        super().__init__(re.compile(pattern), error=error)

    def __call__(self, value: Any) -> Any:
        if self.regex.fullmatch(value) is None:
            raise ValidationError(self.error)
        return value


class WrittenNumber(fields.Float):
    """A number as a query string writes it."""

    SPELLING = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")

    def _validated(self, value: Any) -> float:
        if self.SPELLING.fullmatch(value) is None:
            raise self.make_error("invalid", input=value)
        return float(value)


class WrittenWhole(fields.Integer):
    """An integer as a query string writes it."""

    SPELLING = re.compile(r"[0-9]{1,15}")

    def _validated(self, value: Any) -> int:
        if self.SPELLING.fullmatch(value) is None:
            raise self.make_error("invalid", input=value)
        return int(value)


class Flag(fields.Boolean):
    """A JSON boolean."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if type(value) is not bool:
            raise self.make_error("invalid", input=value)
        return value


class WrittenFlag(fields.Boolean):
    """A boolean as a query string writes it."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if value not in ("true", "false"):
            raise self.make_error("invalid", input=value)
        return value == "true"
