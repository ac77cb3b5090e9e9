"""Which fields of a payload are secret: those its schema marks with `metadata={"secret": True}`."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from marshmallow import Schema, fields

Places = Any  # True: all of it; a dict by key; ("each", places) for what a list or dict holds
Change = Callable[[Any, str], Any]  # of a secret value in a place, such as http.request/headers


@lru_cache(1024)
def places_of(schema: type[Schema]) -> Places:
    """Where the secrets stand in a payload of this schema; None if it has none."""
    return of_schema(schema(), {}) if any(marks(schema(), set())) else None


def marks(schema: Schema, seen: set[type[Schema]]) -> Iterator[bool]:
    """Whether each field of the schema is marked, however deep it is; a schema may hold itself."""
    if type(schema) in seen:
        return
    seen.add(type(schema))
    waiting = list(schema.fields.values())
    while waiting:
        field = waiting.pop()
        yield is_secret(field)
        if isinstance(field, fields.Nested):
            yield from marks(field.schema, seen)
        elif (held := held_by(field)) is not None:
            waiting.append(held)


def of_schema(schema: Schema, known: dict[type[Schema], dict[str, Places]]) -> Places:
    if type(schema) not in known:
        places = known[type(schema)] = {}
        for name, field in schema.fields.items():
            if (found := of_field(field, known)) is not None:
                places[field.data_key or name] = found
    return known[type(schema)]


def of_field(field: fields.Field[Any], known: dict[type[Schema], dict[str, Places]]) -> Places:
    if is_secret(field):
        return True
    if isinstance(field, fields.Nested):
        return of_schema(field.schema, known)
    held = held_by(field)
    found = None if held is None else of_field(held, known)
    return None if found is None else ("each", found)


def is_secret(field: fields.Field[Any]) -> bool:
    return bool(field.metadata.get("secret"))


def held_by(field: fields.Field[Any]) -> fields.Field[Any] | None:
    """The field that describes what a list or a dict holds."""
    held: fields.Field[Any] | None = getattr(field, "inner", None) or getattr(
        field, "value_field", None
    )
    return held


def walk(places: Places, value: Any, change: Change, place: str) -> Any:
    """The value with each secret in it changed; a null stays a null."""
    if places is True:
        return None if value is None else change(value, place)
    if isinstance(places, tuple) and isinstance(value, dict):
        return {key: walk(places[1], inner, change, place) for key, inner in value.items()}
    if isinstance(places, tuple) and isinstance(value, list):
        return [walk(places[1], inner, change, place) for inner in value]
    if isinstance(places, dict) and isinstance(value, dict):
        return {
            key: walk(places.get(key), inner, change, f"{place}/{key}")
            for key, inner in value.items()
        }
    if isinstance(places, dict) and isinstance(value, list):  # Nested(many=True)
        return [walk(places, inner, change, place) for inner in value]
    return value
