"""What clients were told is true."""

from __future__ import annotations

import time
from collections import Counter, defaultdict

from chaos.checker import Looking, invariant
from chaos.evidence import Evidence
from chaos.ledger import Answer, Answered
from chaos.load import LONG_POLL

PROMPT = 2.0  # seconds in which a 503 has to come
HASTE = 0.5  # … more on a machine that has everything else to do
HANG = 8.0  # seconds after which a client calls it a hang; waits of 2 s included


@invariant(1, "Every id that was answered with a 2xx is a row.", of_the_record=False)
def every_accepted_id_is_a_row(evidence: Evidence, look: Looking) -> None:
    for submission in evidence.ledger.submissions:
        for id in {id for ids in submission.answered_ids for id in ids}:
            look.expect(id in evidence.rows, f"lost: task {id} of request {submission.label}")


@invariant(1, "Nothing is there that nobody asked for.", of_the_record=False)
def nothing_is_unexpected(evidence: Evidence, look: Looking) -> None:
    asked = evidence.ledger.labelled()
    found = Counter(row.label for row in evidence.rows.values() if row.label)
    for label, count in found.items():
        submission = asked.get(label)
        if submission is None:
            look.expect(False, f"unexpected: {count} tasks of request {label}, not in the ledger")
        else:
            refused = submission.means is Answered.REFUSED
            look.expect(not refused, f"unexpected: {count} tasks of refused request {label}")


@invariant(3, "One request, one set of rows: all or none, whatever was repeated with its key.")
def one_set_of_rows_per_request(evidence: Evidence, look: Looking) -> None:
    rows: dict[str, set[str]] = defaultdict(set)
    for row in evidence.rows.values():
        if row.label:
            rows[row.label].add(row.id)
    for submission in evidence.ledger.submissions:
        found, asked = rows[submission.label], len(submission.asked)
        told = {tuple(ids) for ids in submission.answered_ids}
        look.expect(
            len(found) in ({asked} if told else {0, asked}),
            f"request {submission.label} for {asked} tasks made {len(found)}",
        )
        look.expect(len(told) <= 1, f"request {submission.label} was answered with {told}")
        look.expect(
            not told or set(submission.ids) == found,
            f"request {submission.label} was answered with other ids than its rows have",
        )


@invariant(13, "No 5xx but 503 with Retry-After within 2 s, and no hang.", of_the_record=False)
def errors_are_honest(evidence: Evidence, look: Looking) -> None:
    for act, answer in evidence.ledger.answers:
        asked_for = LONG_POLL if act == "wait" else 0.0
        look.expect(not (wrong := what_is_wrong(answer, asked_for)), f"{act}: {wrong}")


def what_is_wrong(answer: Answer, asked_for: float) -> str:
    """In words, what nobody may be answered, who asked for so many seconds of waiting."""
    status = answer.status
    took = f"{answer.seconds:.1f} s at {time.strftime('%H:%M:%S', time.localtime(answer.at))}"
    if status is None:
        return f"no answer for {took}" if answer.seconds > HANG else ""
    if status >= 500 and status != 503:
        return f"{status} after {took}: {answer.text[:100]}"
    if status == 503 and not answer.retry_after:
        return f"503 without Retry-After: {answer.text[:100]}"
    if status == 503 and answer.seconds > asked_for + PROMPT + HASTE:
        return f"503 after {took}"
    if answer.seconds > HANG:
        return f"{status} after {took}"
    return ""


@invariant(13, "What was accepted can be read: no 404 for an id that was answered with a 2xx.")
def what_was_accepted_can_be_read(evidence: Evidence, look: Looking) -> None:
    for request in evidence.ledger.requests:
        status = request.answer.status
        look.expect(status != 404, f"{request.act} of task {request.task_id} was answered with 404")
