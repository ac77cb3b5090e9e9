"""What a scraper reads is what was meant, whatever a name looks like."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from api.exposition import Family, as_json, as_text, families
from tasks.lifecycle import Priority, Status
from tasks.stats import Histogram, KindFigures

ODD = 'a "quoted" name,\nwith a \\ in it'


def told() -> list[Family]:
    wait = Histogram()
    wait.add(3, 2, 0.07)
    wait.add(15, 1, 4000.0)
    kind = KindFigures(
        ODD, "mail", Priority.HIGH, depth=dict.fromkeys(Status, 0), submitted=10**17, wait=wait
    )
    return families([kind], [], [], 0.25)


@pytest.mark.parametrize("open_metrics", [False, True])
def test_parsers_read_what_programs_are_told(open_metrics: bool) -> None:
    parse = openmetrics if open_metrics else prometheus
    read = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(as_text(told(), open_metrics=open_metrics))
        for sample in family.samples
    }

    assert read == {
        (sample["name"], frozenset(sample["labels"].items())): sample["value"]
        for family in as_json(told())
        for sample in family["samples"]
    }
    labels = {"kind": ODD, "queue_name": "mail", "priority": "high"}
    assert read["dtq_tasks_submitted_total", frozenset(labels.items())] == 10**17
    up_to = {
        le: read["dtq_task_wait_seconds_bucket", frozenset((labels | {"le": le}).items())]
        for le in ("0.025", "0.05", "1800", "+Inf")
    }
    assert up_to == {"0.025": 0, "0.05": 2, "1800": 2, "+Inf": 3}
