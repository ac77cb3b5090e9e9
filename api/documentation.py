"""The OpenAPI document and the page that shows it, both served from here alone."""

from collections.abc import Iterable
from typing import Any

import orjson
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from flask import Flask, Response, redirect
from flask_smorest import Api

from api import wire
from api.auth import SCHEME, open_to_all, shown_to_browsers
from api.fields import EARLIEST, LATEST
from api.json_schema import COMPONENT, payload_schema
from api.schemas import (
    BATCH,
    LABEL,
    LABEL_VALUE_LENGTH,
    LABELS,
    ErrorBody,
    SubmissionBody,
)
from tasks.catalog import Kind

DESCRIPTION = f"""\
Submit a task over HTTP, let a worker run it, and find it in PostgreSQL whatever happens.

A 2xx means that what was asked is stored. Bodies are JSON in UTF-8; times are RFC 3339 in UTC, and
those that are sent lie between the years {EARLIEST.year} and {LATEST.year}. In a submission `null`
means the same as leaving a field out. Every answer carries an `X-Request-ID`: the request's own,
or a new one. When PostgreSQL does not answer, the service says 503 with `Retry-After` within two
seconds, and nothing was stored."""

OPTIONS = {
    "API_TITLE": "Distributed Task Queue",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/",
    "OPENAPI_JSON_PATH": "openapi.json",
    "OPENAPI_SWAGGER_UI_PATH": "docs",
    "OPENAPI_SWAGGER_UI_URL": "/static/swagger-ui/",
    "API_SPEC_OPTIONS": {"info": {"description": DESCRIPTION, "license": {"name": "MIT"}}},
}

BOTH_TIMES = {
    "required": ["run_at", "delay"],
    "properties": {"run_at": {"type": "string"}, "delay": {"type": "number"}},
}


class DocumentedApi(Api):
    """flask-smorest's API, with our body for errors; `api.errors` answers them."""

    ERROR_SCHEMA = ErrorBody

    def _register_error_handlers(self) -> None:
        pass


def begin_document(app: Flask, kinds: Iterable[Kind]) -> Api:
    """Begin the document, with what a submission of each kind looks like."""
    app.config.update(OPTIONS)
    marshmallow = MarshmallowPlugin(schema_name_resolver=name_of)
    api = DocumentedApi(app, spec_kwargs={"marshmallow_plugin": marshmallow})
    components = api.spec.components
    bearer = {"type": "http", "scheme": "bearer", "description": "An API key: `dtq_…`"}
    components.security_scheme(SCHEME, bearer)

    assert marshmallow.converter  # noqa: S101  # it has one since the API took it
    envelope = marshmallow.converter.schema2jsonschema(SubmissionBody())
    submissions = []
    for kind in sorted(kinds, key=lambda kind: kind.name):
        payload = payload_schema(kind, root=f"{COMPONENT}{kind.name}.payload")
        components.schema(f"{kind.name}.payload", payload)
        components.schema(f"{kind.name}.submission", submission_schema(envelope, kind, payload))
        submissions.append({"$ref": f"{COMPONENT}{kind.name}.submission"})
    components.schema("Submission", {"oneOf": submissions})

    batch = {
        "type": "object",
        "properties": {
            "tasks": {
                "type": "array",
                "description": f"1 to {BATCH} tasks.",
                "items": {"$ref": f"{COMPONENT}Submission"},
                "minItems": 1,
                "maxItems": BATCH,
            }
        },
        "required": ["tasks"],
        "additionalProperties": False,
    }
    components.schema("Batch", batch)
    return api


def name_of(schema: Any) -> str:
    """What the document calls a schema: `TaskBody` is a `Task`."""
    name: str = resolve_schema_cls(schema).__name__  # type: ignore[union-attr]  # never a list here
    return name.removesuffix("Body")


def submission_schema(
    envelope: dict[str, Any], kind: Kind, payload: dict[str, Any]
) -> dict[str, Any]:
    """What a submission of this kind looks like."""
    properties = dict(envelope["properties"])
    properties["name"] = {
        "type": "string",
        "const": kind.name,
        "description": kind.description.partition("\n\n")[0] or "The kind of task.",
    }
    reference: dict[str, Any] = {"$ref": f"{COMPONENT}{kind.name}.payload"}
    needed = bool(payload.get("required"))
    properties["payload"] = reference if needed else {"anyOf": [reference, {"type": "null"}]}
    properties["labels"] = {
        "type": ["object", "null"],
        "description": properties["labels"]["description"],
        "propertyNames": {"pattern": LABEL},
        "additionalProperties": {"type": "string", "maxLength": LABEL_VALUE_LENGTH},
        "maxProperties": LABELS,
    }
    return {
        "type": "object",
        "title": kind.name,
        "properties": properties,
        "required": ["name", "payload"] if needed else ["name"],
        "additionalProperties": False,
        "not": BOTH_TIMES,
    }


def finish_document(app: Flask, api: Api) -> None:
    """Serve the document as it now is, and let whoever may see it see the page too."""
    written = orjson.dumps(api.spec.to_dict())

    def document() -> Response:
        return Response(written, content_type=wire.JSON)

    views: dict[str, Any] = app.view_functions
    views["api-docs.openapi_json"] = shown_to_browsers()(document)
    show_page = views["api-docs.openapi_swagger_ui"]
    views["api-docs.openapi_swagger_ui"] = shown_to_browsers()(lambda: show_page())
    open_to_all(views["static"])
    app.add_url_rule("/", "home", open_to_all(lambda: redirect("/docs")))
