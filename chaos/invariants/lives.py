"""Each task's life is one that the table of moves allows, and it has come to its end."""

from __future__ import annotations

from itertools import pairwise

from chaos.checker import Looking, invariant
from chaos.evidence import Evidence
from chaos.measured import finals_of
from tasks.lifecycle import FINISHED, Move, Status

ALLOWED = {(source, move.target) for move in Move for source in move.sources}
ENTRIES = {(None, Status.PENDING), (None, Status.SCHEDULED)}
ENDS = {move.name.lower(): move for move in Move}
EARLY = 0.001  # seconds: times are compared after a journey through floating point


@invariant(2, "Every row is finished.", of_the_record=False)
def every_row_is_finished(evidence: Evidence, look: Looking) -> None:
    for row in evidence.rows.values():
        look.expect(row.finished, f"stuck: task {row.id} ({row.name}) is {row.status}")


@invariant(2, "Every task has exactly one final event since its last rerun.")
def one_final_event(evidence: Evidence, look: Looking) -> None:
    for id in evidence.rows:
        finals = finals_of(evidence.history.get(id, []))
        look.expect(finals == 1, f"task {id} has {finals} final events since its last rerun")


@invariant(4, "No illegal move in any history, and no gap in it.")
def only_legal_moves(evidence: Evidence, look: Looking) -> None:
    for id, changes in evidence.history.items():
        for change in changes:
            move = (change.was, change.is_now)
            look.expect(
                move in ALLOWED or (change is changes[0] and move in ENTRIES),
                f"task {id} went from {change.was} to {change.is_now}",
            )
        for before, after in pairwise(changes):
            look.expect(
                before.is_now == after.was,
                f"task {id} was {before.is_now}, then came from {after.was}",
            )
            started = after.is_now == Status.RUNNING
            look.expect(
                after.attempt == before.attempt + started,
                f"task {id} went from attempt {before.attempt} to {after.attempt}"
                f" as it became {after.is_now}",
            )


@invariant(5, "Attempts are numbered 1 to n without a gap, and each ended by its own move.")
def attempts_have_no_gap(evidence: Evidence, look: Looking) -> None:
    for row in evidence.rows.values():
        attempts = evidence.attempts.get(row.id, [])
        numbers = [attempt.number for attempt in attempts]
        look.expect(
            numbers == list(range(1, row.attempt + 1)) or not row.finished,
            f"task {row.id} started {row.attempt} times and has the attempts {numbers}",
        )
        ends = [
            (change.attempt, change.is_now)
            for change in evidence.history.get(row.id, [])
            if change.was == Status.RUNNING
        ]
        told = [(attempt.number, str(ENDS[attempt.move].target)) for attempt in attempts]
        look.expect(told == ends, f"task {row.id}: attempts tell {told}, the witness {ends}")


@invariant(6, "The result was written by the attempt that settled the task.")
def the_result_is_of_the_last_attempt(evidence: Evidence, look: Looking) -> None:
    for row in evidence.rows.values():
        if row.status == Status.SUCCEEDED and isinstance(row.result, dict):
            number = row.result.get("attempt")
            look.expect(
                number == row.attempt and row.result.get("task_id") == row.id,
                f"task {row.id} succeeded at attempt {row.attempt} with a result of {row.result}",
            )


@invariant(8, "Each schedule's ticks are exactly those expected, each with its one task.")
def every_tick_fired_once(evidence: Evidence, look: Looking) -> None:
    for schedule in evidence.schedules:
        expected, fired = set(schedule.expected), set(schedule.fired)
        for tick in expected | fired:
            look.expect(tick in fired, f"schedule {schedule.name!r} lost its tick at {tick}")
            look.expect(tick in expected, f"schedule {schedule.name!r} fired at {tick}, unasked")
        look.expect(
            list(schedule.with_task) == list(schedule.fired),
            f"schedule {schedule.name!r} fired {len(schedule.fired)} times"
            f" and made {len(schedule.with_task)} tasks",
        )


@invariant(9, "Nothing starts before its time.")
def nothing_starts_early(evidence: Evidence, look: Looking) -> None:
    for id, changes in evidence.history.items():
        due = 0.0
        for change in changes:
            if change.was in FINISHED:
                due = 0.0  # a rerun is for now
            elif change.is_now == Status.SCHEDULED and change.run_at:
                due = change.run_at
            elif change.is_now == Status.RUNNING and due:
                look.expect(
                    change.at >= due - EARLY,
                    f"task {id} started {due - change.at:.3f} s before its time",
                )
