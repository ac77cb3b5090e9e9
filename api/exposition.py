"""The figures of the record in Prometheus's terms."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tasks.stats import Histogram, KindFigures, QueueFigures, WorkerFigures

KIND = ("kind", "queue_name", "priority")
QUEUE = ("queue_name", "priority")
STATES = ("busy", "idle", "stopping", "silent")


class Families(Collector):
    """Metric families that are ready; nothing is asked twice."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def registry_of(
    kinds: Sequence[KindFigures],
    queues: Sequence[QueueFigures],
    workers: Sequence[WorkerFigures],
    overdue: float,
) -> CollectorRegistry:
    """A registry of one scrape."""
    late = GaugeMetricFamily(
        "dtq_overdue_seconds", "How late the most overdue scheduled task is.", value=overdue
    )
    families = [*of_kinds(kinds), *of_queues(queues), *of_workers(workers), late]
    registry = CollectorRegistry()
    registry.register(Families(families))
    return registry


def of_kinds(kinds: Sequence[KindFigures]) -> Iterator[Metric]:
    depth = GaugeMetricFamily("dtq_tasks", "Tasks in each status now.", labels=(*KIND, "status"))
    submitted = CounterMetricFamily("dtq_tasks_submitted", "Tasks accepted.", labels=KIND)
    finished = CounterMetricFamily(
        "dtq_tasks_finished", "Times a task got a final status.", labels=(*KIND, "status")
    )
    retried = CounterMetricFamily(
        "dtq_tasks_retried", "Attempts after which the task was to be tried again.", labels=KIND
    )
    wait = HistogramMetricFamily(
        "dtq_task_wait_seconds", "From pending to the start of an attempt.", labels=KIND
    )
    run = HistogramMetricFamily("dtq_task_run_seconds", "Attempts, start to end.", labels=KIND)

    for kind in kinds:
        labels = [kind.name, kind.queue_name, str(kind.priority)]
        for status, number in kind.depth.items():
            depth.add_metric([*labels, str(status)], number)
        submitted.add_metric(labels, kind.submitted)
        for status, number in kind.finished.items():
            finished.add_metric([*labels, str(status)], number)
        retried.add_metric(labels, kind.retried)
        add(wait, labels, kind.wait)
        add(run, labels, kind.run)
    yield from (depth, submitted, finished, retried, wait, run)


def add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    family.add_metric(labels, buckets=list(histogram.cumulative()), sum_value=histogram.seconds)


def of_queues(queues: Sequence[QueueFigures]) -> Iterator[Metric]:
    oldest = GaugeMetricFamily(
        "dtq_queue_oldest_pending_seconds", "Age of the task that has waited longest.", labels=QUEUE
    )
    serving = GaugeMetricFamily("dtq_queue_workers", "Workers that serve a queue.", labels=QUEUE)
    for queue in queues:
        labels = [queue.queue_name, str(queue.priority)]
        oldest.add_metric(labels, queue.oldest_pending_seconds or 0.0)
        serving.add_metric(labels, queue.workers)
    yield from (oldest, serving)


def of_workers(workers: Sequence[WorkerFigures]) -> Iterator[Metric]:
    number = GaugeMetricFamily("dtq_workers", "Workers in each state now.", labels=["state"])
    states = Counter(worker.state for worker in workers)
    for state in STATES:
        number.add_metric([state], states[state])
    capacity = GaugeMetricFamily(
        "dtq_workers_concurrency", "Tasks that all workers together can run at a time."
    )
    capacity.add_metric([], sum(worker.concurrency for worker in workers))
    yield from (number, capacity)
