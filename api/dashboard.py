"""rq-dashboard at /rq: read-only, and with every word from Redis made harmless.

rq-dashboard 0.9 trusts Redis, writes (even by GET) and prints what it finds. Here it is an
application of its own that has only the views that read, with bounded arguments. Jobs are restored
as JSON and never unpickled, a malformed one is left out. Characters that mean something to HTML
are replaced in all that comes from Redis, and a Content-Security-Policy lets no script run but the
package's own.
"""

import logging
from collections.abc import Callable
from functools import wraps
from secrets import token_urlsafe
from typing import Any

from flask import Blueprint, Flask, Response, abort, jsonify, url_for
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq_dashboard import web
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from api.headers import lead_nowhere_else
from tasks.broker import split_queue

log = logging.getLogger(__name__)

REGISTRIES = {  # as rq-dashboard calls them: where RQ keeps their ids
    "queued": "rq:queue:",
    "started": "rq:wip:",
    "finished": "rq:finished:",
    "failed": "rq:failed:",
    "deferred": "rq:deferred:",
    "scheduled": "rq:scheduled:",
    "canceled": "rq:canceled:",
}
MOST_SHOWN = 200  # started jobs of one queue that are looked at to tell what workers do
AWAY = (RedisConnectionError, RedisTimeoutError)
HARMLESS = str.maketrans("<>&\"'`", "‹›＆”’‘")  # alike to the eye, and nothing to HTML

INSTANCE = "/<int(max=0):instance_number>"
REGISTRY = f"<word:queue_name>/<any({','.join(REGISTRIES)}):registry_name>"
PAGE = f"{REGISTRY}/<int(min=1,max=200):per_page>/<any(asc,dsc):order>/<int(min=1,max=100000):page>"
FIRST_PAGE = {
    "queue_name": "default:normal",
    "registry_name": "queued",
    "per_page": "8",
    "order": "asc",
    "page": "1",
}
READ_ONLY = """
#compact-btn, #requeue-all-btn, #requeue-job-btn, [data-role=requeue-job-btn], #rq-instances-row,
table#jobs th:last-child, table#jobs td.actions { display: none !important }
"""


POLICY = (
    "default-src 'none'; script-src {scripts}; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self'; style-src-attr 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Word(BaseConverter):
    """A queue's name or a job's id."""

    regex = "[A-Za-z0-9_:-]{1,128}"


class ShownJob(Job):
    """A job as far as it is shown: nothing in it is imported, unpickled or believed."""

    def __init__(
        self, id: str | None = None, connection: Any = None, serializer: Any = None
    ) -> None:
        super().__init__(id, connection, JSONSerializer)

    def restore(self, raw_data: Any) -> None:
        try:
            super().restore(raw_data)
        except Exception as error:  # a planted hash raises what it likes
            raise NoSuchJobError(f"The job {self.id} is malformed.") from error

    def get_call_string(self) -> str:
        return self.description or str(self.id)

    def get_status(self, refresh: bool = True) -> Any:
        return self._status

    def get_meta(self, refresh: bool = True) -> dict[str, Any]:
        return {}

    def latest_result(self, timeout: int = 0) -> None:
        return None  # results and errors are in PostgreSQL alone

    def return_value(self, refresh: bool = False) -> None:
        return None

    @property
    def dependency_ids(self) -> list[str]:
        return []


class ShownWorker(Worker):
    """A worker as far as it is shown; one whose record is malformed is left out."""

    job_class = ShownJob
    holds: str | None = None  # the id of a job that it says it runs

    @classmethod
    def all(cls, connection: Any = None, *args: Any, **kwargs: Any) -> list[Any]:
        running = running_jobs(connection)
        found = []
        for key in connection.smembers(cls.redis_workers_keys):
            if worker := cls._read(key, connection):
                worker.holds = running.get(worker.name)
                found.append(worker)
        return found

    @classmethod
    def _read(cls, key: bytes, connection: Any) -> Any:
        try:
            return cls.find_by_key(
                key.decode(),
                connection,
                job_class=ShownJob,
                queue_class=ShownQueue,
                serializer=JSONSerializer,
            )
        except AWAY:
            raise
        except Exception:  # noqa: BLE001  # a planted worker raises what it likes
            return None

    def get_current_job(self) -> Job | None:
        try:
            if self.holds:
                return ShownJob.fetch(self.holds, self.connection)
            return super().get_current_job()  # a stock RQ worker keeps an index of its own
        except AWAY:
            raise
        except Exception:  # noqa: BLE001  # so does a planted execution
            return None


class ShownQueue(Queue):
    """A queue of ours."""

    @classmethod
    def all(cls, connection: Any = None, *args: Any, **kwargs: Any) -> list[Any]:
        names = (
            key.decode(errors="replace").removeprefix("rq:queue:")
            for key in connection.smembers("rq:queues")
        )
        return [cls(name, connection=connection) for name in sorted(names) if split_queue(name)]


def running_jobs(connection: Any) -> dict[str, str]:
    """One job of each worker that runs any, by the worker's name."""
    members = [
        member.decode(errors="replace").partition(":")[0]
        for queue in ShownQueue.all(connection)
        for member in connection.zrange(f"{REGISTRIES['started']}{queue.name}", 0, MOST_SHOWN - 1)
    ]
    with connection.pipeline(transaction=False) as pipeline:
        for id in members:
            pipeline.hget(f"rq:job:{id}", "worker_name")
        names = pipeline.execute(raise_on_error=False)
    return {
        name.decode(errors="replace"): id
        for name, id in zip(names, members, strict=True)
        if isinstance(name, bytes)
    }


def page_of_jobs(
    queue_name: str, registry_name: str, offset: int, per_page: int, order: str, connection: Redis
) -> tuple[int, list[dict[str, Any]]]:
    """How many jobs a registry has, and those of one page that can be read."""
    key = f"{REGISTRIES[registry_name]}{queue_name}"
    a_list = registry_name == "queued"
    total: Any = connection.llen(key) if a_list else connection.zcard(key)
    start = offset if order == "asc" else max(0, total - offset - per_page)
    end = (start + per_page if order == "asc" else total - offset) - 1
    if end < start:
        return total, []
    ids: Any = connection.lrange(key, start, end) if a_list else connection.zrange(key, start, end)
    jobs = [read_job(id, connection) for id in (ids if order == "asc" else reversed(ids))]
    return total, [web.serialize_job(job) for job in jobs if job is not None]


def read_job(member: bytes, connection: Redis) -> ShownJob | None:
    """The job that a registry's member names, perhaps with its execution; None if unreadable."""
    try:
        return ShownJob.fetch(member.decode().partition(":")[0], connection)  # type: ignore[return-value]  # RQ says Job
    except (NoSuchJobError, ValueError, ResponseError):  # no job, no id, no hash
        return None


web.config.serializer = JSONSerializer
web.Job, web.Worker, web.Queue = ShownJob, ShownWorker, ShownQueue
web.get_queue_registry_jobs_count = page_of_jobs


def create_dashboard(redis: Redis) -> Flask:
    """The dashboard as an application of its own, to be mounted at a path."""
    app = Flask("rq_dashboard")
    app.redis_conn = redis  # type: ignore[attr-defined]  # where rq-dashboard looks for it
    app.config.update(RQ_DASHBOARD_REDIS_URL=("Redis",), RQ_DASHBOARD_DISABLE_DELETE=True)
    app.url_map.converters["word"] = Word
    app.url_map.redirect_defaults = False
    app.register_blueprint(read_only_views())
    app.after_request(protect)
    app.register_error_handler(Exception, refuse)
    return app


def read_only_views() -> Blueprint:
    blueprint = Blueprint(
        "rq_dashboard", "rq_dashboard", template_folder="templates", static_folder="static"
    )
    pages: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
        ("/", web.queues_overview, {"instance_number": 0}),
        (f"{INSTANCE}/view/queues", web.queues_overview, {}),
        (f"{INSTANCE}/view/workers", web.workers_overview, {}),
        (f"{INSTANCE}/view/jobs", web.jobs_overview, FIRST_PAGE),
        (f"{INSTANCE}/view/jobs/{PAGE}", web.jobs_overview, {}),
        (f"{INSTANCE}/view/job/<word:job_id>", web.job_view, {}),
    ]
    data: list[tuple[str, Callable[..., Any]]] = [
        (f"{INSTANCE}/data/queues.json", web.list_queues),
        (f"{INSTANCE}/data/jobs/{PAGE}.json", web.list_jobs),
        (f"{INSTANCE}/data/job/<word:job_id>.json", web.job_info),
        (f"{INSTANCE}/data/workers.json", web.list_workers),
    ]
    for rule, view, defaults in pages:
        blueprint.add_url_rule(rule, view.__name__, view, defaults=defaults)
    for rule, view in data:
        blueprint.add_url_rule(rule, view.__name__, harmless(view))
    for name in (
        "compact_queue",
        "requeue_all",
    ):  # templates link to them; READ_ONLY hides the links
        blueprint.add_url_rule(f"/refused/{name}", name, lambda: abort(405))
    blueprint.add_url_rule(
        "/read-only.css", "read_only", lambda: Response(READ_ONLY, mimetype="text/css")
    )
    blueprint.context_processor(web.inject_interval)
    return blueprint


def harmless(view: Callable[..., Any]) -> Callable[..., Response]:
    """The same data, in which no text means anything to HTML."""

    @wraps(view)
    def answer(**arguments: Any) -> Response:
        response = jsonify(disarm(view(**arguments)[0].get_json()))
        response.headers["Cache-Control"] = "no-store"
        return response

    return answer


def disarm(value: Any) -> Any:
    if isinstance(value, str):
        return value.translate(HARMLESS)
    if isinstance(value, list):
        return [disarm(each) for each in value]
    if isinstance(value, dict):
        return {disarm(key): disarm(each) for key, each in value.items()}
    return value


def protect(response: Response) -> Response:
    """Let nothing run but the package's own scripts, and nobody frame the page."""
    scripts = "'none'"
    if response.mimetype == "text/html":
        nonce = token_urlsafe(16)
        scripts = (
            f"'self' 'nonce-{nonce}' 'unsafe-eval'"  # underscore compiles the page's templates
        )
        page = response.get_data(as_text=True).replace("<script ", f'<script nonce="{nonce}" ')
        style = f'<link rel="stylesheet" href="{url_for("rq_dashboard.read_only")}"></head>'
        response.set_data(page.replace("</head>", style))
    lead_nowhere_else(response)
    response.headers["Content-Security-Policy"] = POLICY.format(scripts=scripts)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def refuse(error: Exception) -> Response:
    """A line of text; never a traceback, and never an echo of what was asked."""
    if isinstance(error, HTTPException):
        return Response(f"{error.name}\n", error.code, mimetype="text/plain")
    if isinstance(error, NoSuchJobError):
        return Response("Redis has no such job any more.\n", 404, mimetype="text/plain")
    if not isinstance(error, RedisError):
        log.error("the dashboard cannot show what Redis holds", exc_info=error)
    headers = {"Retry-After": "1"}
    return Response("Redis does not answer.\n", 503, headers, mimetype="text/plain")
