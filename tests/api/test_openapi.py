"""The OpenAPI document is right, whole and the one that is committed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api import errors
from dev.openapi import FILE

METHODS = ("get", "post", "put", "patch", "delete")
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text())
REGISTRY: Registry[Any] = Registry().with_resource(
    "urn:document", Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
)


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


OPERATIONS = dict(operations())


def problems(schema: dict[str, Any], value: object) -> list[str]:
    """What a value has that the schema does not allow; its references lead into the document."""
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))
    validator = Draft202012Validator(absolute, registry=REGISTRY)
    return [error.message for error in validator.iter_errors(value)]


def examples(content: dict[str, Any]) -> list[Any]:
    named = [each["value"] for each in content.get("examples", {}).values()]
    return [*named, content["example"]] if "example" in content else named


def test_the_committed_document_is_the_one_that_is_served() -> None:
    code = "import sys; from dev.openapi import written; sys.stdout.write(written())"
    served = subprocess.run(  # in a process that knows no kinds of other tests
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout

    assert served == FILE.read_text(), "renew it: python -m dev.openapi"


def test_it_is_openapi_3_1_with_every_reference_resolved() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    resolver = REGISTRY.resolver("urn:document")
    for reference in references(DOCUMENT):
        resolver.lookup(reference)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_says_what_it_does_and_shows_its_answer(name: str) -> None:
    operation = OPERATIONS[name]

    assert operation["summary"].endswith(".")
    successes = [code for code in operation["responses"] if code.startswith("2")]
    assert successes
    for code in successes:
        for content in operation["responses"][code].get("content", {}).values():
            assert examples(content), f"{name} {code} has no example"


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_example_is_what_its_schema_allows(name: str) -> None:
    operation = OPERATIONS[name]
    contents = list(operation.get("requestBody", {}).get("content", {}).values())
    for response in operation["responses"].values():
        contents += response.get("content", {}).values()

    for content in contents:
        for value in examples(content):
            assert problems(content["schema"], value) == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_refusal_of_an_operation_is_documented_with_an_example(name: str) -> None:
    for code, response in OPERATIONS[name]["responses"].items():
        if code.isdigit() and int(code) >= 400 and not name.endswith(("/health", "/db", "/redis")):
            (content,) = response["content"].values()
            assert [each["code"] for each in examples(content)] == [int(code)] * len(
                examples(content)
            )
            assert examples(content)


@pytest.mark.parametrize(
    "name", [name for name, told in OPERATIONS.items() if "requestBody" in told]
)
def test_an_operation_that_takes_a_body_documents_how_bodies_are_refused(name: str) -> None:
    assert {"400", "413", "415", "422"} <= OPERATIONS[name]["responses"].keys()
    assert examples(OPERATIONS[name]["requestBody"]["content"]["application/json"])


def test_every_field_has_a_description() -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, told in schema.get("properties", {}).items()
        if "description" not in told and "$ref" not in told and "anyOf" not in told
    ]

    assert silent == []


def test_a_submission_is_described_kind_by_kind() -> None:
    submission = {"$ref": "#/components/schemas/Submission"}
    hello = {"name": "example_task", "payload": {"message": "hello"}}

    assert problems(submission, hello) == []
    assert problems(submission, hello | {"delay": 1, "run_at": None}) == []
    for wrong in (
        hello | {"name": "sing"},
        hello | {"payload": {"url": "https://example.com"}},
        hello | {"payload": {}},
        hello | {"sing": True},
        hello | {"labels": {"a:b": "c"}},
        hello | {"delay": 1, "run_at": "2030-01-01T00:00:00Z"},
        {"name": "example_task"},
    ):
        assert problems(submission, wrong), wrong


def test_what_is_answered_is_what_is_documented(client: FlaskClient) -> None:
    task = client.post(
        "/api/v1/tasks/", json={"name": "example_task", "payload": {"message": "hello"}}
    )
    answers = {
        ("POST /api/v1/tasks/", "201"): task.json,
        ("GET /api/v1/tasks/", "200"): client.get("/api/v1/tasks/").json,
    }
    for path in ("", "/attempts", "/history"):
        place = f"GET /api/v1/tasks/{{task_id}}{path}"
        answers[place, "200"] = client.get(f"{task.headers['Location']}{path}").json
    for path in ("task-types/", "monitoring/queues", "monitoring/workers"):
        answers[f"GET /api/v1/{path}", "200"] = client.get(f"/api/v1/{path}").json

    for (name, code), answer in answers.items():
        (content,) = OPERATIONS[name]["responses"][code]["content"].values()
        assert problems(content["schema"], answer) == [], name


def test_errors_are_what_is_documented() -> None:
    for word in errors.REFUSALS:
        assert problems({"$ref": "#/components/schemas/Error"}, errors.example(word)) == []
