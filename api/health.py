"""Whether the service and its servers answer. Open to everybody, and telling nothing else."""

from collections.abc import Callable

from flask import Response, current_app

from api import wire
from api.auth import open_to_all
from api.contract import Blueprint
from api.examples import HEALTHY, UNHEALTHY
from api.schemas import HealthBody
from tasks import database
from tasks.broker import Broker
from tasks.errors import BrokerUnavailable, DatabaseUnavailable

blueprint = Blueprint("health", __name__, url_prefix="/health", description=__doc__)


@blueprint.route("", methods=["GET"])
@open_to_all
@blueprint.may_answer(200, HealthBody, example=HEALTHY)
@blueprint.may_answer(503, HealthBody, example=UNHEALTHY)
def check_all() -> Response:
    """Ask whether PostgreSQL and Redis answer.

    Tasks are accepted as long as PostgreSQL does; `/health/db` alone tells that.
    """
    return report(db=check_database, redis=check_redis)


@blueprint.route("/db", methods=["GET"])
@open_to_all
@blueprint.may_answer(200, HealthBody, example={"status": "ok", "checks": {"db": "ok"}})
@blueprint.may_answer(
    503, HealthBody, example={"status": "unavailable", "checks": {"db": "unavailable"}}
)
def check_db() -> Response:
    """Ask whether PostgreSQL answers, so that tasks are accepted."""
    return report(db=check_database)


@blueprint.route("/redis", methods=["GET"])
@open_to_all
@blueprint.may_answer(200, HealthBody, example={"status": "ok", "checks": {"redis": "ok"}})
@blueprint.may_answer(
    503, HealthBody, example={"status": "unavailable", "checks": {"redis": "unavailable"}}
)
def check_redis_alone() -> Response:
    """Ask whether Redis answers, so that tasks reach workers at once."""
    return report(redis=check_redis)


def check_database() -> bool:
    try:
        database.check()
    except DatabaseUnavailable:
        return False
    return True


def check_redis() -> bool:
    broker: Broker = current_app.extensions["broker"]
    try:
        broker.check()
    except BrokerUnavailable:
        return False
    return True


def report(**checks: Callable[[], bool]) -> Response:
    words = {True: "ok", False: "unavailable"}
    found = {name: check() for name, check in checks.items()}
    healthy = all(found.values())
    return wire.Answer(
        {
            "status": words[healthy],
            "checks": {name: words[answers] for name, answers in found.items()},
        },
        200 if healthy else 503,
    )
