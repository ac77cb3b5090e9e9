"""Queues alone: those on Redis keep no record, those on PostgreSQL are their own record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks import environment
from benchmarks.crew import Program
from benchmarks.stage import Place
from benchmarks.systems.stacks import CELERY, rq_worker
from benchmarks.systems.system import System


class Celery(System):
    key = "celery"
    title = "Celery, prefork, no results"

    def fill(self, place: Place, count: int) -> None:
        self.run_module(place, "celery_alone", str(count))

    def workers(self, place: Place) -> Sequence[Program]:
        return [self.module(place, "worker", "celery", "-A", "celery_alone", "worker", *CELERY)]


class Dramatiq(System):
    key = "dramatiq"
    title = "Dramatiq, no results, prefetch 100"

    def fill(self, place: Place, count: int) -> None:
        self.run_module(place, "dramatiq_alone", str(count))

    def workers(self, place: Place) -> Sequence[Program]:
        program = self.module(place, "worker", "dramatiq", "dramatiq_alone", "--processes=2")
        return [replace(program, env={**program.env, "dramatiq_queue_prefetch": "100"})]


class Rq(System):
    key = "rq"
    title = "RQ, two SimpleWorkers"

    def fill(self, place: Place, count: int) -> None:
        self.run_module(place, "rq_alone", str(count))

    def workers(self, place: Place) -> Sequence[Program]:
        return [self.module(place, "worker", *rq_worker(place)) for _ in range(2)]


class PgQueuer(System):
    """Its log table keeps what was done; the queue's own row is deleted."""

    key = "pgqueuer"
    title = "PgQueuer, two processes, batch 10"
    keeps_record = True

    def prepare(self, place: Place) -> None:
        self.run_module(place, "pgqueuer_alone", "install")

    def fill(self, place: Place, count: int) -> None:
        self.run_module(place, "pgqueuer_alone", str(count))

    def workers(self, place: Place) -> Sequence[Program]:
        return [self.module(place, "worker", "pgqueuer_alone", "work") for _ in range(2)]

    def recorded(self, place: Place) -> int:
        ((count,),) = place.query("SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'")
        return int(count)


class Oban(System):
    key = "oban"
    title = "oban for Python, two processes, limit 100"
    keeps_record = True
    environment = "oban"

    @property
    def missing(self) -> str | None:
        here = environment.python(self.environment)
        return None if here else "oban needs Python 3.12, and none was found"

    def prepare(self, place: Place) -> None:
        self.run_module(place, "oban_alone", "install")

    def fill(self, place: Place, count: int) -> None:
        self.run_module(place, "oban_alone", str(count))

    def workers(self, place: Place) -> Sequence[Program]:
        return [self.module(place, "worker", "oban_alone", "work") for _ in range(2)]

    def recorded(self, place: Place) -> int:
        ((count,),) = place.query("SELECT count(*) FROM oban_jobs WHERE state = 'completed'")
        return int(count)
