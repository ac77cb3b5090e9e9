"""Limits, as clients see them: 429 with `Retry-After`, and the RateLimit headers.

After the IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers-10).
"""

from collections.abc import Callable, Iterable, Sequence

from flask import Flask, Response, current_app, g

from api.auth import grant
from tasks import catalog
from tasks.actions import Submission
from tasks.errors import TooManyTasks
from tasks.quotas import Allowance, Backlogs, Quotas

NAME = "submissions"


def register(app: Flask, quotas: Quotas, backlogs: Backlogs) -> None:
    app.extensions |= {"quotas": quotas, "backlogs": backlogs}
    app.after_request(tell)


def charge(tasks: int, queue_names: Callable[[], Iterable[str]]) -> None:
    """Let the client make this many tasks, or raise `TooManyTasks`.

    Where they would go is asked for only if backlogs are limited.
    """
    quotas: Quotas = current_app.extensions["quotas"]
    backlogs: Backlogs = current_app.extensions["backlogs"]
    if backlogs.limit:
        backlogs.refuse_full(queue_names())
    who = grant()
    try:
        g.allowance = quotas.charge(who.key_id, who.submit_rate, tasks)
    except TooManyTasks as refusal:
        g.allowance = refusal.allowance
        raise


def charge_for(submissions: Sequence[Submission]) -> None:
    """Let the client submit these, or raise `TooManyTasks`."""
    charge(len(submissions), lambda: queue_names_of(submissions))


def queue_names_of(submissions: Sequence[Submission]) -> set[str]:
    """The queue names these would go to; of unknown kinds nothing is known yet."""
    kinds = catalog.kinds()
    return {
        each.queue_name or kinds[each.name].queue_name
        for each in submissions
        if each.queue_name or each.name in kinds
    }


def tell(response: Response) -> Response:
    allowance: Allowance | None = g.get("allowance")
    if allowance is not None:
        response.headers["RateLimit-Policy"] = f'"{NAME}";q={allowance.quota};w={allowance.window}'
        response.headers["RateLimit"] = f'"{NAME}";r={allowance.left};t={allowance.full_in}'
    return response
