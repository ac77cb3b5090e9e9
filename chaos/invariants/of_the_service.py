"""The service as a whole: it recovers in time, leaves nothing behind, and counts right."""

from __future__ import annotations

from collections import Counter

from chaos.checker import Looking, invariant
from chaos.evidence import Evidence
from chaos.figures import recoveries
from chaos.measured import burnt_by, deaths_noticed
from tasks.lifecycle import FINISHED, Status

HASTE = 0.5  # seconds more on a machine that has everything else to do


@invariant(11, "Redis holds no leftovers after the drain.")
def redis_is_clean(evidence: Evidence, look: Looking) -> None:
    look.expect_none(evidence.leftovers)


@invariant(12, "Everything recovers within lease, sweep and backoff.")
def recovery_is_in_time(evidence: Evidence, look: Looking) -> None:
    for recovery in recoveries(evidence):
        look.expect_none(f"after {recovery.strike.name}: {late}" for late in recovery.late)


@invariant(12, "Restarts in order burn no attempt.")
def restarts_burn_nothing(evidence: Evidence, look: Looking) -> None:
    for strike in evidence.strikes:
        if strike.gentle:
            look.expect_none(
                f"{strike.name}: attempt {attempt.number} of task {id} was {attempt.outcome}"
                for id, attempt in burnt_by(evidence, strike)
            )


@invariant(12, "A horse's death is on record within a second.")
def deaths_are_noticed(evidence: Evidence, look: Looking) -> None:
    for seconds in deaths_noticed(evidence, evidence.strikes):
        look.expect(seconds < 1 + HASTE, f"a horse's death was on record after {seconds:.2f} s")


@invariant(14, "No process outlives a death.", of_the_record=False)
def no_orphans(evidence: Evidence, look: Looking) -> None:
    look.expect_none(evidence.orphans)


@invariant(14, "No process is ended by an exception.")
def no_breakdowns(evidence: Evidence, look: Looking) -> None:
    look.expect_none(evidence.breakdowns)


@invariant(14, "No connection leaks, and no transaction stays open.")
def no_leaked_connections(evidence: Evidence, look: Looking) -> None:
    look.expect_none(evidence.connections)


@invariant(15, "The metrics equal the table's counts.")
def metrics_tell_the_truth(evidence: Evidence, look: Looking) -> None:
    told: Counter[tuple[str, str]] = Counter()
    for family in (evidence.metrics or {}).get("metrics", []):
        for sample in family["samples"]:
            told[sample["name"], sample["labels"].get("status", "")] += int(sample["value"])
    changes = [change for life in evidence.history.values() for change in life]
    expected = {
        ("dtq_tasks_submitted_total", ""): len(evidence.rows),
        ("dtq_tasks_retried_total", ""): sum(
            (change.was, change.is_now) == (Status.RUNNING, Status.SCHEDULED) for change in changes
        ),
        ("dtq_task_wait_seconds_count", ""): sum(
            change.is_now == Status.RUNNING for change in changes
        ),
    }
    rows = Counter(row.status for row in evidence.rows.values())
    ends = Counter(change.is_now for change in changes)
    for status in Status:
        expected["dtq_tasks", status] = rows[status]
        if status in FINISHED:
            expected["dtq_tasks_finished_total", status] = ends[status]
    for figure, number in expected.items():
        look.expect(
            told[figure] == number,
            f"{' '.join(figure)} is {told[figure]} in the metrics and {number} on record",
        )


@invariant(14, "Nothing that was planted in Redis was run.")
def nothing_planted_was_run(evidence: Evidence, look: Looking) -> None:
    look.expect_none(note for note in evidence.notes if "hostile" in note)
