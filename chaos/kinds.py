"""Chaos's kinds of task; the service loads them through TASK_MODULES."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, fields
from marshmallow.validate import OneOf
from sqlalchemy import text

from chaos import deeds
from chaos.executions import Attempt, noted
from tasks.catalog import handles
from tasks.retry import Backoff

if TYPE_CHECKING:
    from jobs.context import Context

SOON = Backoff(first_wait=timedelta(seconds=0.2), max_wait=timedelta(seconds=1), max_retries=3)
EFFECT = text("INSERT INTO chaos.effects (task_id, attempt) VALUES (:task_id, :attempt)")


class Nothing(Schema):
    pass


class While(Schema):
    seconds = fields.Float(required=True)


class Times(Schema):
    times = fields.Integer(required=True)


class Death(Times):
    how = fields.String(required=True, validate=OneOf(deeds.WAYS_TO_DIE))


@handles("chaos.nothing", Nothing, retry=SOON)
def nothing(context: Context) -> dict[str, Any]:
    """Do nothing."""
    return deeds.do(attempt(context))


@handles("chaos.sleep", While, retry=SOON)
def sleep(context: Context, seconds: float) -> dict[str, Any]:
    """Take a while."""
    return deeds.do(attempt(context), seconds=seconds)


@handles("chaos.wait", While, retry=SOON, io=True)
def wait(context: Context, seconds: float) -> dict[str, Any]:
    """Take a while on a thread."""
    return deeds.do(attempt(context), seconds=seconds)


@handles("chaos.fail", Times, retry=SOON)
def fail(context: Context, times: int) -> dict[str, Any]:
    """Fail at first."""
    return deeds.do(attempt(context), fail_times=times)


@handles("chaos.die", Death, retry=SOON)
def die(context: Context, how: str, times: int) -> dict[str, Any]:
    """Die at first, and take the whole process along."""
    return deeds.die(attempt(context), how, times)


@handles("chaos.write", Nothing, retry=SOON)
def write(context: Context) -> dict[str, Any]:
    """Have an effect exactly once: it commits together with the outcome."""
    this = attempt(context)
    with noted(this):
        context.session.execute(EFFECT, {"task_id": this.task_id, "attempt": this.number})
        return deeds.signature(this)


def attempt(context: Context) -> Attempt:
    return Attempt(context.task_id, context.attempt)
