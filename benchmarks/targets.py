"""What the service must reach, beside what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import Figures, Spread, ratio


@dataclass(frozen=True)
class Target:
    """A figure of the service against one of somebody, or against a plain number."""

    what: str
    against: str
    ours: tuple[str, str]  # scenario and figure
    bound: float
    at: Literal["least", "most"] = "least"
    theirs: tuple[str, str, str] | None = None  # scenario, system and figure
    better_of: str | None = None  # a second system: the better of the two is compared with
    unit: str = ""
    system: str = "service"
    highest: bool = False  # of all figures whose names begin so, the one with the highest median

    def reached(self, figures: Figures) -> Spread | None:
        """The ratio, or the plain figure; None while something was not measured."""
        which = figures.highest if self.highest else figures.rounds
        ours = which(self.ours[0], self.system, self.ours[1])
        if self.theirs is None:
            return Spread.of(ours) if ours else None
        scenario, system, figure = self.theirs
        rivals = [system, self.better_of] if self.better_of else [system]
        known = [found for rival in rivals if (found := figures.rounds(scenario, rival, figure))]
        return ratio(ours, max(known, key=lambda values: Spread.of(values).middle, default=[]))

    def holds(self, reached: Spread) -> bool:
        if self.at == "least":
            return reached.middle >= self.bound
        return reached.middle <= self.bound


STACK, RATE = "fastapi-celery-2", "tasks_per_s"
TARGETS = [
    Target(
        "single submissions accepted, workers off", "FastAPI stack at its better process count",
        ("submit", "accepted_per_s"), 2.5,
        theirs=("submit", "fastapi-celery-1", "accepted_per_s"), better_of=STACK,
    ),
    Target(
        "submitted one by one, run and recorded, to the last task", "FastAPI + Celery stack",
        ("run", RATE), 5, theirs=("run", STACK, RATE),
    ),
    Target(
        "submitted in batches, run and recorded, to the last task", "FastAPI + Celery stack",
        ("batch", RATE), 20, theirs=("run", STACK, RATE),
    ),
    Target(
        "batch submissions accepted", "own single submissions",
        ("batch", "accepted_per_s"), 15, theirs=("submit", "service", "accepted_per_s"),
    ),
    Target("batch submissions accepted", "", ("batch", "accepted_per_s"), 15_000, unit="tasks/s"),
    *(
        Target(
            "drain of no-op tasks with their record", against,
            ("drain", RATE), bound, theirs=("drain", system, RATE),
        )
        for against, system, bound in (
            ("FastAPI + Celery stack, with its record", STACK, 20),
            ("Celery, no record", "celery", 7),
            ("Dramatiq without results, prefetch 100, no record", "dramatiq", 1.2),
            ("oban for Python, two processes, limit 100", "oban", 1.3),
            ("PgQueuer, default batch", "pgqueuer", 1.3),
            ("RQ SimpleWorkers, no record", "rq", 15),
        )
    ),
    Target(
        "drain of no-op tasks, as it is", "own without the protections' periodic duties",
        ("protections", RATE), 0.9, theirs=("protections", "service-unprotected", RATE),
    ),
    *(
        Target(
            f"created → finished at 20/s, p{share}", "FastAPI + Celery stack",
            ("latency", f"p{share}_ms"), 0.5, at="most", theirs=("latency", STACK, f"p{share}_ms"),
        )
        for share in (50, 99)
    ),
    Target(
        "tasks of 50 ms, 200 at a time, one worker", "ideal, 4,000/s",
        ("sleepers", "share_of_ideal"), 0.8,
    ),
    *(
        Target(
            f"with 5,000,000 + 500,000 rows: {what}", "own with empty tables",
            ("growth", figure), 0.9, theirs=("growth", "service", figure), system="service-grown",
        )
        for what, figure in (
            ("single submissions", "accepted_per_s"),
            ("batch submissions", "batch_accepted_per_s"),
            ("drain", RATE),
            ("submitted one by one, run and recorded", "run_per_s"),
            ("tasks of 50 ms, 200 at a time", "sleepers_per_s"),
        )
    ),
    Target(
        "slowest list, filter or monitoring query there, p95", "",
        ("growth", "query_"), 50, at="most", unit="ms", system="service-grown", highest=True,
    ),
    Target(
        "Redis memory per pending task", "",
        ("drain", "redis_bytes_per_pending"), 1000, at="most", unit="bytes",
    ),
    Target(
        "idle: whole service, CPU", "one core",
        ("footprint", "idle_percent"), 2, at="most", unit="%",
    ),
]  # fmt: skip
