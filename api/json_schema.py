"""The payload of each kind as JSON Schema, made from its marshmallow schema."""

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from tasks.catalog import Kind

COMPONENT = "#/components/schemas/"


def payload_schema(kind: Kind, root: str = "#") -> dict[str, Any]:
    """A schema that stands for itself; `root` is where it stands, for its inner references."""
    spec = APISpec(kind.name, "1", "3.1.0", plugins=[MarshmallowPlugin()])
    spec.components.schema("payload", schema=kind.schema)
    parts: dict[str, Any] = spec.to_dict()["components"]["schemas"]
    schema: dict[str, Any] = refer(parts.pop("payload"), root)
    schema["additionalProperties"] = False
    if parts:
        schema["$defs"] = refer(parts, root)
    return schema


def refer(part: Any, root: str) -> Any:
    """The same, with references to components of their own turned to definitions within."""
    if isinstance(part, list):
        return [refer(each, root) for each in part]
    if not isinstance(part, dict):
        return part
    turned = {key: refer(value, root) for key, value in part.items() if key != "$ref"}
    reference = part.get("$ref")
    if isinstance(reference, str):
        name = reference.removeprefix(COMPONENT)
        turned["$ref"] = root if name == "payload" else f"{root}/$defs/{name}"
    return turned
