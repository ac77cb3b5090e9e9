"""The stacks a user would otherwise build: a web framework, a queue on Redis, a row per task."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.crew import Program
from benchmarks.stage import Place
from benchmarks.systems.system import Recording

CELERY = ("--concurrency=2", "--loglevel=WARNING", "--without-gossip", "--without-mingle")


class FastApiCelery(Recording):
    """FastAPI on uvicorn (uvloop, httptools), Celery's prefork pool, SQLAlchemy on psycopg2."""

    def __init__(self, web_processes: int) -> None:
        self.web_processes = web_processes
        self.key = f"fastapi-celery-{web_processes}"
        counted = "1 process" if web_processes == 1 else f"{web_processes} processes"
        self.title = f"FastAPI + Celery, uvicorn with {counted}"

    def prepare(self, place: Place) -> None:
        self.run_module(place, "fastapi_celery.fill", "0")

    def fill(self, place: Place, count: int) -> None:
        self.run_module(place, "fastapi_celery.fill", str(count))

    def web(self, place: Place, port: int) -> Sequence[Program]:
        workers = f"--workers={self.web_processes}"
        uvicorn = ("uvicorn", "fastapi_celery.web:app", f"--port={port}", workers)
        return [self.module(place, "API", *uvicorn, "--log-level=warning", "--no-access-log")]

    def workers(self, place: Place) -> Sequence[Program]:
        return [
            self.module(place, "worker", "celery", "-A", "fastapi_celery.worker", "worker", *CELERY)
        ]


class FlaskRq(Recording):
    """Flask on gunicorn's threads, two RQ SimpleWorkers, the same table."""

    key = "flask-rq"
    title = "Flask + RQ SimpleWorkers"

    def prepare(self, place: Place) -> None:
        self.run_module(place, "flask_rq.fill")

    def web(self, place: Place, port: int) -> Sequence[Program]:
        gunicorn = (
            "gunicorn",
            "flask_rq.web:app",
            f"--bind=127.0.0.1:{port}",
            "--log-level=warning",
        )
        return [self.module(place, "API", *gunicorn, "--workers=2", "--threads=8")]

    def workers(self, place: Place) -> Sequence[Program]:
        return [self.module(place, "worker", *rq_worker(place)) for _ in range(2)]


def rq_worker(place: Place) -> Sequence[str]:
    """RQ's worker that does not fork; two of them make a pool."""
    worker = ("rq.cli", "worker", "--worker-class=rq.SimpleWorker", f"--url={place.redis_url}")
    return (*worker, "--quiet", "--path=.", "default")
