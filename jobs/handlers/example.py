"""A task to try the service with."""

import time
from typing import TYPE_CHECKING

from marshmallow import Schema, fields
from marshmallow.validate import Length, Range

from tasks.catalog import handles

if TYPE_CHECKING:
    from jobs.context import Context

STEP = 1.0  # seconds between two reports of progress


class Example(Schema):
    message = fields.String(
        required=True,
        validate=Length(max=10_000),
        metadata={"description": "The task's result.", "example": "Hello"},
    )
    seconds = fields.Float(
        load_default=0.0,
        validate=Range(min=0, max=86_400),
        metadata={"description": "How long the task takes before it succeeds.", "example": 2.5},
    )
    fail_times = fields.Integer(
        load_default=0,
        strict=True,
        validate=Range(min=0, max=1_000),
        metadata={"description": "How many attempts fail first.", "example": 0},
    )


class Unlucky(Exception):
    """The task was asked to fail."""


@handles("example_task", Example)
def example_task(context: "Context", message: str, seconds: float, fail_times: int) -> str:
    """Return the message, after some seconds and some failed attempts.

    For demonstrations and smoke tests. It reports its progress every second.
    """
    if context.attempt <= fail_times:
        raise Unlucky(f"Attempt {context.attempt} of the {fail_times} that were asked to fail.")
    if seconds:
        take(seconds, context)
    return message


def take(seconds: float, context: "Context") -> None:
    started = time.monotonic()
    while (spent := time.monotonic() - started) < seconds:
        context.progress(spent, seconds, "taking its time")
        time.sleep(min(STEP, seconds - spent))
