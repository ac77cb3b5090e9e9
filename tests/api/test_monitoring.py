"""Monitoring tells what the table says, to Prometheus and to people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tasks.lifecycle import Priority, Status
from tests.rows import ago

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations.md"
MONITORING = "/api/v1/monitoring"


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in prometheus(text)
        for sample in family.samples
    }


@pytest.fixture
def some_tasks(a_task: Any, a_worker: Any) -> None:
    a_worker("worker-1", concurrency=4)
    a_worker("worker-2", queues=["mail"], stopping=True)
    a_worker("worker-3", lease=-5)
    for status in Status:
        a_task(status)
    for _ in range(3):
        a_task(Status.PENDING, queue_name="mail", priority=Priority.HIGH, name="email.send")


@pytest.mark.usefixtures("some_tasks")
def test_queues_tell_their_depths_and_who_serves_them(client: FlaskClient) -> None:
    default, mail = client.get(f"{MONITORING}/queues").json["items"]

    assert (default["rq_queue"], mail["rq_queue"]) == ("default:normal", "mail:high")
    assert (default["pending"], default["running"], default["scheduled"]) == (1, 1, 1)
    assert (mail["pending"], mail["running"], mail["scheduled"]) == (3, 0, 0)
    assert 500 < mail["oldest_pending_seconds"] < 700
    assert (default["workers"], mail["workers"]) == (1, 2)
    assert default["paused"] is False


@pytest.mark.usefixtures("some_tasks")
def test_workers_tell_what_they_do(client: FlaskClient) -> None:
    items = client.get(f"{MONITORING}/workers").json["items"]

    told = {each["name"]: (each["state"], each["running"], each["queues"]) for each in items}
    assert told == {
        "worker-1": ("busy", 1, []),
        "worker-2": ("stopping", 0, ["mail"]),
        "worker-3": ("silent", 0, []),
    }
    assert items[0]["concurrency"] == 4


@pytest.mark.usefixtures("some_tasks")
def test_metrics_equal_the_counts_of_the_table(client: FlaskClient) -> None:
    answer = client.get(f"{MONITORING}/metrics")

    found = samples(answer.text)
    kind = (("kind", "example_task"), ("priority", "normal"), ("queue_name", "default"))
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    for status in Status:
        assert found["dtq_tasks", (*kind, ("status", str(status)))] == 1
    mail = (("kind", "email.send"), ("priority", "high"), ("queue_name", "mail"))
    assert found["dtq_tasks", (*mail, ("status", "pending"))] == 3
    assert found["dtq_tasks_submitted_total", mail] == 3
    assert found["dtq_workers", (("state", "busy"),)] == 1
    assert found["dtq_queue_workers", (("priority", "high"), ("queue_name", "mail"))] == 2


@pytest.mark.usefixtures("some_tasks")
def test_names_follow_the_conventions(client: FlaskClient) -> None:
    for family in prometheus(client.get(f"{MONITORING}/metrics").text):
        assert family.name.startswith("dtq_")
        assert family.documentation.endswith(".")
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
            buckets = [each.value for each in family.samples if each.name.endswith("_bucket")]
            assert buckets == sorted(buckets) or len(buckets) > 16


@pytest.mark.usefixtures("some_tasks")
def test_openmetrics_is_spoken_to_whoever_asks_for_it(client: FlaskClient) -> None:
    accept = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    answer = client.get(f"{MONITORING}/metrics", headers={"Accept": accept})

    assert answer.content_type.startswith("application/openmetrics-text")
    assert list(openmetrics(answer.text))


@pytest.mark.usefixtures("some_tasks")
def test_json_has_the_same_figures(client: FlaskClient) -> None:
    told = client.get(f"{MONITORING}/metrics", headers={"Accept": "application/json"}).json

    in_json = {
        (sample["name"], tuple(sorted(sample["labels"].items()))): sample["value"]
        for family in told["metrics"]
        for sample in family["samples"]
    }
    text = client.get(f"{MONITORING}/metrics").text
    moving = "dtq_queue_oldest_pending_seconds"
    assert {k: v for k, v in in_json.items() if k[0] != moving} == {
        k: v for k, v in samples(text).items() if k[0] != moving
    }


def test_with_nothing_to_tell_every_answer_is_well_formed(client: FlaskClient) -> None:
    assert client.get(f"{MONITORING}/queues").json == {"items": []}
    assert client.get(f"{MONITORING}/workers").json == {"items": []}
    assert list(prometheus(client.get(f"{MONITORING}/metrics").text))


def test_what_was_pruned_is_still_counted_as_submitted(
    client: FlaskClient, a_task: Any, sessions: Any
) -> None:
    task = a_task(Status.SUCCEEDED)
    with sessions.begin() as session:
        session.delete(session.merge(task))

    found = samples(client.get(f"{MONITORING}/metrics").text)

    kind = (("kind", "example_task"), ("priority", "normal"), ("queue_name", "default"))
    assert found["dtq_tasks", (*kind, ("status", "succeeded"))] == 0
    assert found["dtq_tasks_submitted_total", kind] == 1


@pytest.mark.parametrize(("late", "told"), [(90, 90), (-90, 0)])
def test_a_task_that_no_scheduler_makes_pending_is_overdue(
    client: FlaskClient, a_task: Any, late: float, told: float
) -> None:
    a_task(Status.SCHEDULED, run_at=ago(seconds=late))

    found = samples(client.get(f"{MONITORING}/metrics").text)

    assert found["dtq_overdue_seconds", ()] == pytest.approx(told, abs=5)


def test_the_handbook_names_every_metric(client: FlaskClient) -> None:
    text = client.get(f"{MONITORING}/metrics").text
    names = {family.name for family in prometheus(text)}

    listed = re.findall(r"^\| `(dtq_\w+?)(?:_total)?` \|", OPERATIONS.read_text(), re.MULTILINE)
    assert set(listed) == names
