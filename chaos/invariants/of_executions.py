"""What handlers really did fits what is on record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from chaos.checker import Looking, invariant
from chaos.evidence import Evidence
from chaos.executions import Execution
from tasks.lifecycle import Outcome, Status

OURS = "chaos."  # kinds whose executions are noted


@invariant(7, "A task that succeeded was executed.", of_the_record=False)
def who_succeeded_was_executed(evidence: Evidence, look: Looking) -> None:
    for row in evidence.rows.values():
        if row.status == Status.SUCCEEDED and row.name.startswith(OURS):
            look.expect(
                bool(evidence.executions.get(row.id)),
                f"task {row.id} succeeded, and nobody executed it",
            )


@invariant(7, "Each attempt is executed at most once, and only what was started.")
def attempts_are_executed_once(evidence: Evidence, look: Looking) -> None:
    for id, executions in evidence.executions.items():
        row = evidence.rows.get(id)
        for attempt, times in Counter(each.attempt.number for each in executions).items():
            look.expect(times == 1, f"attempt {attempt} of task {id} was executed {times} times")
        started = row.attempt if row else 0
        look.expect(
            len(executions) <= started,
            f"task {id} was started {started} times and executed {len(executions)} times",
        )


@invariant(7, "Two executions of a task overlap only where the earlier attempt was lost.")
def executions_overlap_only_after_a_loss(evidence: Evidence, look: Looking) -> None:
    for id, executions in evidence.executions.items():
        outcomes = {each.number: each.outcome for each in evidence.attempts.get(id, [])}
        for earlier, later in overlaps(executions):
            outcome = outcomes.get(earlier.attempt.number)
            look.expect(
                outcome == Outcome.LOST,
                f"attempts {earlier.attempt.number} ({outcome}) and {later.attempt.number}"
                f" of task {id} ran at the same time",
            )


def overlaps(executions: Sequence[Execution]) -> list[tuple[Execution, Execution]]:
    """Pairs that ran at the same time; when an execution died is unknown, so it is in none."""
    return [
        (earlier, later)
        for index, earlier in enumerate(executions)
        for later in executions[index + 1 :]
        if earlier.ended is not None and later.began < earlier.ended
    ]


@invariant(10, "A task that was cancelled before its start was never executed.")
def cancelled_in_time_is_never_executed(evidence: Evidence, look: Looking) -> None:
    for id, changes in evidence.history.items():
        if changes[-1].is_now == Status.CANCELLED and changes[-1].attempt == 0:
            look.expect(
                id not in evidence.executions, f"task {id} was cancelled in time and executed"
            )


@invariant(10, "A handler of a cancelled task is stopped within a second or two.")
def cancelled_handlers_are_stopped(evidence: Evidence, look: Looking) -> None:
    peace = [(strike.began - 1, strike.over + 1) for strike in evidence.strikes]
    for id, attempts in evidence.attempts.items():
        for attempt in attempts:
            if attempt.outcome != Outcome.CANCELLED:
                continue
            if any(began <= attempt.ended_at <= over for began, over in peace):
                continue  # a worker that is cut off cannot know
            for execution in evidence.executions.get(id, []):
                if execution.attempt.number == attempt.number and execution.ended is not None:
                    late = execution.ended - attempt.ended_at
                    look.expect(late < 2, f"task {id} ran on for {late:.1f} s when cancelled")


@invariant(7, "What a handler writes in its task's session is there once, by who succeeded.")
def effects_happen_once(evidence: Evidence, look: Looking) -> None:
    for row in evidence.rows.values():
        if row.name == "chaos.write":
            expected = [row.attempt] if row.status == Status.SUCCEEDED else []
            found = evidence.effects.get(row.id, [])
            look.expect(
                found == expected,
                f"task {row.id} is {row.status} at attempt {row.attempt}, its effects: {found}",
            )
