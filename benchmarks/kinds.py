"""The kinds of task that are measured; the service loads them through TASK_MODULES."""

from __future__ import annotations

import time

from marshmallow import Schema, fields

from benchmarks.peers.ticks import tick
from tasks.catalog import handles


class Nothing(Schema):
    pass


class Text(Schema):
    text = fields.String(required=True)


class Pause(Schema):
    seconds = fields.Float(required=True)


@handles("bench.nothing", Nothing)
def nothing() -> None:
    """Do nothing."""
    tick()


@handles("bench.echo", Text)
def echo(text: str) -> str:
    """Return the text."""
    tick()
    return text


@handles("bench.sleep", Pause, io=True)
def sleep(seconds: float) -> None:
    """Wait, as for somebody else's answer."""
    time.sleep(seconds)
    tick()


@handles("bench.moment", Pause)
def moment(seconds: float) -> float:
    """Take a while, and return the moment of the end, in seconds of the epoch."""
    time.sleep(seconds)
    tick()
    return time.time()
