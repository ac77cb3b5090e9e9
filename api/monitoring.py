"""Queues, workers and metrics, from the record, for the whole cluster."""

from dataclasses import asdict
from typing import Any

from flask import Response, request
from prometheus_client.exposition import choose_encoder

from api import exposition, wire
from api.auth import requires
from api.contract import Blueprint
from api.examples import METRICS, METRICS_TEXT, QUEUES, WORKERS
from api.schemas import MetricsBody, QueueList, WorkerList
from tasks import stats
from tasks.broker import rq_queue
from tasks.database import sessions
from tasks.keys import Scope

blueprint = Blueprint("monitoring", __name__, url_prefix="/monitoring", description=__doc__)


@blueprint.route("/queues", methods=["GET"])
@requires(Scope.METRICS_READ)
@blueprint.answers(200, QueueList, example=QUEUES)
def list_queues() -> dict[str, Any]:
    """List every queue that ever had a task: depths, ages and rates."""
    with sessions.begin() as session:
        queues = stats.queues(session, stats.kinds(session))
    return {
        "items": [
            {**asdict(each), "rq_queue": rq_queue(each.queue_name, each.priority), "paused": False}
            for each in queues
        ]
    }


@blueprint.route("/workers", methods=["GET"])
@requires(Scope.METRICS_READ)
@blueprint.answers(200, WorkerList, example=WORKERS)
def list_workers() -> dict[str, Any]:
    """List every living worker: what it is doing and has done."""
    with sessions.begin() as session:
        return {"items": [asdict(each) for each in stats.workers(session)]}


@blueprint.route("/metrics", methods=["GET"])
@requires(Scope.METRICS_READ)
@blueprint.may_answer(200, MetricsBody, example=METRICS)
@blueprint.may_answer(200, {"type": "string"}, example=METRICS_TEXT, content_type="text/plain")
def show_metrics() -> Response:
    """Tell every figure, for Prometheus or, with `Accept: application/json`, as JSON.

    The figures are of the whole cluster, whichever process is asked: scrape one.
    """
    with sessions.begin() as session:
        kinds = stats.kinds(session)
        told = exposition.families(
            kinds,
            stats.queues(session, kinds),
            stats.workers(session),
            stats.overdue(session),
        )
    if request.accept_mimetypes.best_match(["text/plain", wire.JSON]) == wire.JSON:
        return wire.Answer({"metrics": exposition.as_json(told)})
    _, content_type = choose_encoder(request.headers.get("Accept", ""))
    open_metrics = content_type.startswith("application/openmetrics-text")
    text = exposition.as_text(told, open_metrics=open_metrics)
    return Response(text, content_type=content_type)
