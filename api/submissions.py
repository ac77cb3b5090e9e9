"""Submissions, read fast: what the schema accepts, in a hundredth of its time.

A compiled reader takes what is right. What it does not take goes to the marshmallow schema, which
is slow but names everything that is wrong at once, in the words of the documentation.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec
import orjson
from marshmallow import Schema, ValidationError
from msgspec import Meta

from api import schemas
from api.crowds import MOST, TOO_MANY, is_crowded, size
from api.fields import AwareTime, within_range
from api.request_ids import current
from tasks import catalog
from tasks.actions import Submission
from tasks.errors import InvalidBatch, InvalidTask, UnknownKind
from tasks.lifecycle import Priority


def exactly(pattern: str) -> str:
    """The same pattern where `$` would also match before a final line break, as in Python."""
    return pattern.removesuffix("$") + r"\Z"


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """A submission as `SubmissionBody` describes it."""

    # fmt: off
    name: Annotated[str, Meta(pattern=exactly(schemas.NAME))]
    payload: dict[str, Any] | None = None
    queue_name: Annotated[str, Meta(pattern=exactly(schemas.QUEUE_NAME))] | None = None
    priority: Priority | None = None
    run_at: AwareTime | None = None
    delay: Annotated[float, Meta(ge=0, le=schemas.LONGEST_DELAY)] | None = None
    max_retries: Annotated[int, Meta(ge=0, le=schemas.MAX_RETRIES)] | None = None
    timeout: Annotated[
        float, Meta(ge=schemas.SHORTEST_TIMEOUT, le=schemas.LONGEST_TIMEOUT)
    ] | None = None
    expires_at: AwareTime | None = None
    labels: Annotated[
        dict[
            Annotated[str, Meta(pattern=exactly(schemas.LABEL))],
            Annotated[str, Meta(max_length=schemas.LABEL_VALUE_LENGTH)],
        ],
        Meta(max_length=schemas.LABELS),
    ] | None = None
    # fmt: on

    def __post_init__(self) -> None:
        self.run_at = self.run_at and within_range(self.run_at)
        self.expires_at = self.expires_at and within_range(self.expires_at)
        if problem := schemas.contradiction(self.run_at, self.delay, self.expires_at):
            raise ValueError(problem)

    def submission(self, request_id: str) -> Submission:
        return Submission(
            name=self.name,
            payload=self.payload or {},
            queue_name=self.queue_name,
            priority=self.priority,
            run_at=self.run_at,
            delay=self.delay,
            max_retries=self.max_retries,
            timeout=self.timeout,
            expires_at=self.expires_at,
            labels=self.labels or {},
            request_id=request_id,
        )


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """Many submissions, as `BatchBody` describes them."""

    tasks: Annotated[list[Envelope], Meta(min_length=1, max_length=schemas.BATCH)]


def read(body: Any) -> Submission:
    """The submission in a request's JSON, or `InvalidTask` naming every wrong field."""
    try:
        return msgspec.convert(body, Envelope).submission(current())
    except msgspec.ValidationError:
        raise InvalidTask(problems_of(body)) from None


def read_batch(body: Any) -> Sequence[Submission]:
    """The submissions of a batch, or `InvalidBatch` naming all that is wrong, task by task."""
    try:
        batch = msgspec.convert(body, Batch)
    except msgspec.ValidationError:
        raise refusal_of_batch(body) from None
    request_id = current()
    return [envelope.submission(request_id) for envelope in batch.tasks]


def fingerprint(submissions: Sequence[Submission]) -> bytes:
    """What these ask for, however their JSON was spelled and whichever request carried them."""
    asked = [replace(each, request_id=None) for each in submissions]
    return orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)


_envelope, _batch = schemas.SubmissionBody(), schemas.BatchBody()


def problems_of(body: Any) -> dict[str, Any]:
    """Everything that is wrong with a submission, its payload included."""
    if is_crowded(body):
        return {"_schema": [TOO_MANY]}
    problems = messages_of(_envelope, body)
    if isinstance(body, dict) and isinstance(body.get("name"), str) and "name" not in problems:
        payload = body.get("payload")
        try:
            kind = catalog.kind(body["name"])
            kind.check(payload if isinstance(payload, dict) else {})
        except UnknownKind as unknown:
            problems["name"] = [str(unknown)]
        except InvalidTask as invalid:
            problems = invalid.messages | problems
    return problems


def refusal_of_batch(body: Any) -> InvalidBatch | InvalidTask:
    """Everything that is wrong with a batch: its outside, or its tasks by their index.

    Each wrong task is named. When very much is wrong, of the later ones it is not told what.
    """
    tasks = body.get("tasks") if isinstance(body, dict) else None
    if not isinstance(tasks, list) or not 1 <= len(tasks) <= schemas.BATCH or len(body) > 1:
        outside = body | {"tasks": []} if isinstance(tasks, list) else body
        return InvalidTask(
            {"_schema": [TOO_MANY]} if is_crowded(outside) else outer(outside, tasks)
        )
    wrong, left = {}, MOST
    for index, each in enumerate(tasks):
        left -= size(each)
        if left > 0 or not is_right(each):
            wrong[index] = problems_of(each) if left > 0 else {"_schema": ["Not valid."]}
    return InvalidBatch({index: problems for index, problems in wrong.items() if problems})


def outer(outside: Any, tasks: Any) -> dict[str, Any]:
    """What is wrong with the outside of a batch, whose list of tasks was emptied."""
    problems = messages_of(_batch, outside)
    if isinstance(tasks, list) and 1 <= len(tasks) <= schemas.BATCH:
        problems.pop("tasks")
    return problems


def is_right(body: Any) -> bool:
    """Whether this is a submission, whatever its kind says of its payload."""
    try:
        msgspec.convert(body, Envelope)
    except msgspec.ValidationError:
        return False
    return body["name"] in catalog.kinds()


def messages_of(schema: Schema, body: Any) -> dict[str, Any]:
    try:
        schema.load(body)
    except ValidationError as error:
        return dict(error.normalized_messages())
    return {}
