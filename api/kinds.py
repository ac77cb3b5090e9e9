"""The kinds of task this service knows."""

from collections.abc import Iterable
from typing import Any

from flask import current_app

from api.auth import requires
from api.contract import Blueprint
from api.examples import KINDS
from api.json_schema import payload_schema
from api.schemas import KindList
from tasks import catalog
from tasks.actions import Terms
from tasks.catalog import Kind

blueprint = Blueprint("task types", __name__, url_prefix="/task-types", description=__doc__)


@blueprint.route("/", methods=["GET"])
@requires()
@blueprint.answers(200, KindList, example=KINDS)
def list_kinds() -> dict[str, Any]:
    """List the kinds of task, with the terms they run on and the JSON Schema of their payload."""
    terms: Terms = current_app.extensions["terms"]
    kinds: Iterable[Kind] = catalog.kinds().values()
    return {"items": [body(kind, terms) for kind in sorted(kinds, key=lambda kind: kind.name)]}


def body(kind: Kind, terms: Terms) -> dict[str, Any]:
    retries = kind.retry.max_retries
    return {
        "name": kind.name,
        "description": kind.description,
        "queue_name": kind.queue_name,
        "priority": kind.priority,
        "timeout": float(terms.timeout if kind.timeout is None else kind.timeout.total_seconds()),
        "max_retries": terms.max_retries if retries is None else retries,
        "schema": payload_schema(kind),
    }
