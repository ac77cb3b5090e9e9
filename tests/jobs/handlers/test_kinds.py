"""Every shipped kind explains itself: to people in words, to programs in JSON Schema."""

import pytest
from marshmallow import Schema, fields

from jobs.handlers import SHIPPED, configure
from tasks import catalog

catalog.load(SHIPPED)

KINDS = ["email.send", "example_task", "http.request"]


def every_field(schema: Schema):
    for field in schema.fields.values():
        yield field
        inner = field.inner if isinstance(field, fields.List) else None
        if isinstance(inner, fields.Nested):
            yield from every_field(inner.schema)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_described_in_a_sentence_and_more(name):
    first, _, more = catalog.kind(name).description.partition("\n\n")

    assert first.endswith(".")
    assert more


@pytest.mark.parametrize("name", KINDS)
def test_each_field_has_a_description(name):
    for field in every_field(catalog.kind(name).schema()):
        assert field.metadata["description"].endswith("."), field.name


@pytest.mark.parametrize("name", KINDS)
def test_each_example_is_valid(name):
    schema = catalog.kind(name).schema()

    for field in every_field(schema):
        if "example" in field.metadata:
            field.deserialize(field.metadata["example"])


def test_an_attempt_ends_by_itself_before_its_kinds_timeout():
    assert catalog.kind("http.request").timeout.total_seconds() > 300


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"smtp_url": "mail.example.com", "smtp_from": "a@example.com"}, "SMTP_URL"),
        ({"smtp_url": "smtp://mail.example.com", "smtp_from": ""}, "SMTP_FROM"),
    ],
)
def test_a_wrong_setting_is_named(wrong, named):
    with pytest.raises(ValueError, match=f"^{named} must be like"):
        configure(**wrong)
