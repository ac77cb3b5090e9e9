"""The life of a task told by everybody who saw it: for finding out what went wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from chaos.checker import Verdict
from chaos.evidence import Evidence
from chaos.figures import recoveries

TASK = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def write(path: Path, evidence: Evidence, verdicts: Iterable[Verdict]) -> None:
    """The lives of all tasks that violations name, and of the slowest to recover."""
    examples = [text for verdict in verdicts for text in verdict.examples or ()]
    ids = {id for text in examples for id in TASK.findall(text)}
    ids |= {each.slowest.task_id for each in recoveries(evidence) if each.slowest}
    path.write_text("\n\n".join("\n".join(life(evidence, id)) for id in sorted(ids)) + "\n")


def life(evidence: Evidence, id: str) -> Iterator[str]:
    """One line for each thing that happened, in order."""
    yield f"task {id}: {evidence.rows.get(id)}"
    for at, text in sorted(moments(evidence, id)):
        yield f"  {time.strftime('%H:%M:%S', time.localtime(at))}.{int(at % 1 * 1000):03} {text}"


def moments(evidence: Evidence, id: str) -> Iterator[tuple[float, str]]:
    for submission in evidence.ledger.submissions:
        if id in submission.ids:
            for answer in submission.answers:
                yield answer.at, f"client: submit {submission.label} → {answer.status}"
    for request in evidence.ledger.requests:
        if request.task_id == id:
            yield request.answer.at, f"client: {request.act} → {request.answer.status}"
    changes = evidence.history.get(id, [])
    for change in changes:
        yield (
            change.at,
            f"{change.was} → {change.is_now}, attempt {change.attempt}"
            + (f", due at {change.run_at:.3f}" if change.run_at else ""),
        )
    for attempt in evidence.attempts.get(id, []):
        yield attempt.ended_at, f"attempt {attempt.number} {attempt.outcome}, {attempt.worker_id}"
    for execution in evidence.executions.get(id, []):
        number, pid = execution.attempt.number, execution.pid
        yield execution.began, f"executed: attempt {number} began in {pid}"
        if execution.ended:
            yield execution.ended, f"executed: attempt {number} {execution.how} in {pid}"
    if changes:
        for strike in evidence.strikes:
            if strike.over > changes[0].at - 20 and strike.began < changes[-1].at + 5:
                yield strike.began, f"fault: {strike.name}"
                yield strike.over, f"fault over: {strike.name}"
