"""The figures of the record in Prometheus's terms: as its text, as OpenMetrics, as JSON.

A scrape has thousands of lines, most of which share their labels with others. So what is shared is
written once; prometheus_client, which writes every label of every line anew, takes ten times as
long. The formats: Prometheus's documentation, "Exposition formats", and OpenMetrics 1.0.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Literal, NamedTuple

from tasks.stats import BOUNDS, Histogram, KindFigures, QueueFigures, WorkerFigures

STATES = ("busy", "idle", "stopping", "silent")
LIMITS = [("le", bound) for bound in BOUNDS]
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Series:
    """Labels that samples share."""

    def __init__(self, **labels: str) -> None:
        self.labels = labels
        self.text = ",".join(f'{n}="{v.translate(ESCAPES)}"' for n, v in sorted(labels.items()))


class Sample(NamedTuple):
    """One line; `label` is one more than those of its series, with a value as it is written."""

    suffix: str
    series: Series
    value: float
    label: tuple[str, str] | None = None


@dataclass
class Family:
    """What is told under one name."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    documentation: str
    samples: list[Sample] = field(default_factory=list)

    def add(self, series: Series, value: float, label: tuple[str, str] | None = None) -> None:
        """A sample of a counter or of a gauge."""
        self.samples.append(
            Sample("_total" if self.type == "counter" else "", series, value, label)
        )

    def add_histogram(self, series: Series, histogram: Histogram) -> None:
        counts = histogram.cumulative()
        self.samples += map(Sample, repeat("_bucket"), repeat(series), counts, LIMITS)
        self.samples.append(Sample("_count", series, counts[-1]))
        self.samples.append(Sample("_sum", series, histogram.seconds))


NO_LABELS = Series()


def families(
    kinds: Sequence[KindFigures],
    queues: Sequence[QueueFigures],
    workers: Sequence[WorkerFigures],
    overdue: float,
) -> list[Family]:
    """Everything that one scrape tells."""
    late = Family("dtq_overdue_seconds", "gauge", "How late the most overdue scheduled task is.")
    late.add(NO_LABELS, overdue)
    return [*of_kinds(kinds), *of_queues(queues), *of_workers(workers), late]


def of_kinds(kinds: Iterable[KindFigures]) -> Iterator[Family]:
    depth = Family("dtq_tasks", "gauge", "Tasks in each status now.")
    submitted = Family("dtq_tasks_submitted", "counter", "Tasks accepted.")
    finished = Family("dtq_tasks_finished", "counter", "Times a task got a final status.")
    retried = Family(
        "dtq_tasks_retried", "counter", "Attempts after which the task was to be tried again."
    )
    wait = Family("dtq_task_wait_seconds", "histogram", "From pending to the start of an attempt.")
    run = Family("dtq_task_run_seconds", "histogram", "Attempts, start to end.")
    for kind in kinds:
        series = Series(kind=kind.name, queue_name=kind.queue_name, priority=str(kind.priority))
        for status, number in kind.depth.items():
            depth.add(series, number, ("status", str(status)))
        submitted.add(series, kind.submitted)
        for status, number in kind.finished.items():
            finished.add(series, number, ("status", str(status)))
        retried.add(series, kind.retried)
        wait.add_histogram(series, kind.wait)
        run.add_histogram(series, kind.run)
    yield from (depth, submitted, finished, retried, wait, run)


def of_queues(queues: Iterable[QueueFigures]) -> Iterator[Family]:
    oldest = Family(
        "dtq_queue_oldest_pending_seconds", "gauge", "Age of the task that has waited longest."
    )
    serving = Family("dtq_queue_workers", "gauge", "Workers that serve a queue.")
    for queue in queues:
        series = Series(queue_name=queue.queue_name, priority=str(queue.priority))
        oldest.add(series, queue.oldest_pending_seconds or 0.0)
        serving.add(series, queue.workers)
    yield from (oldest, serving)


def of_workers(workers: Sequence[WorkerFigures]) -> Iterator[Family]:
    number = Family("dtq_workers", "gauge", "Workers in each state now.")
    states = Counter(worker.state for worker in workers)
    for state in STATES:
        number.add(Series(state=state), states[state])
    capacity = Family(
        "dtq_workers_concurrency", "gauge", "Tasks that all workers together can run at a time."
    )
    capacity.add(NO_LABELS, sum(worker.concurrency for worker in workers))
    yield from (number, capacity)


def as_text(families: Iterable[Family], *, open_metrics: bool) -> str:
    """In the text format that a scraper reads."""
    lines = []
    for family in families:
        counts = family.type == "counter" and not open_metrics
        name = family.name + ("_total" if counts else "")
        lines.append(f"# HELP {name} {family.documentation}")
        lines.append(f"# TYPE {name} {family.type}")
        for suffix, series, value, label in family.samples:
            labels = series.text if label is None else f'{series.text},{label[0]}="{label[1]}"'
            within = f"{{{labels}}}" if labels else ""
            lines.append(f"{family.name}{suffix}{within} {float(value)!r}")
    return "\n".join([*lines, "# EOF\n" if open_metrics else ""])


def as_json(families: Iterable[Family]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [
                {
                    "name": family.name + each.suffix,
                    "labels": each.series.labels | (dict([each.label]) if each.label else {}),
                    "value": each.value,
                }
                for each in family.samples
            ],
        }
        for family in families
    ]
