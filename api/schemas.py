"""What clients send and receive, field by field: the truth of the OpenAPI document.

Busy views do not run these schemas. They read and write by faster means, and tests hold that both
agree. At submission, `null` means the same as leaving the field out.
"""

from datetime import datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range

from api.fields import Number, Spelled, Time, Whole, WrittenNumber, WrittenWhole
from tasks.lifecycle import Move, Outcome, Priority, Status

NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
QUEUE_NAME = "^[A-Za-z0-9_-]{1,64}$"
LABEL = "^[A-Za-z0-9_./-]{1,64}$"  # no colon, which separates key and value in a filter
LABEL_VALUE_LENGTH = 256
LABELS = 32
MAX_RETRIES = 1000
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 0.1, 7 * 24 * 3600.0  # seconds
LONGEST_DELAY = 10 * 365 * 24 * 3600.0  # seconds
BATCH = 1000
LONGEST_WAIT = 60  # seconds a client may wait for the end of a task
PAGE, LONGEST_PAGE = 50, 200

AN_ID = "01982f6c-8d2a-7c4e-9a51-3d6f0b7c2e10"
A_TIME = "2026-01-31T12:00:00.000000Z"
UNSEEN = "Null for a key without `payloads:read`."
UNREADABLE = "`***` stands for a secret field that cannot be opened any more."
A_WORKER = "host-4711-5c1f9a"


def told(meaning: str, example: object = None) -> dict[str, object]:
    """What the OpenAPI document says of a field besides its type."""
    return {"description": meaning} | ({} if example is None else {"example": example})


class ErrorBody(Schema):
    """Anything but a 2xx."""

    code = fields.Integer(required=True, metadata=told("The HTTP status.", 422))
    status = fields.String(required=True, metadata=told("Its name.", "Unprocessable Entity"))
    message = fields.String(required=True, metadata=told("What is wrong, in one sentence."))
    errors = fields.Dict(
        keys=fields.String(),
        metadata=told(
            "Which fields are wrong and why, by where they are: `json`, `query`, `headers`."
        ),
    )


class SubmissionBody(Schema):
    """A task as a client submits it. `name` and `payload` are further described kind by kind."""

    name = fields.String(
        required=True,
        validate=Spelled(NAME, "Not the name of a kind of task."),
        metadata=told("The kind of task; `GET /task-types/` lists them.", "example_task"),
    )
    payload = fields.Dict(
        keys=fields.String(),
        allow_none=True,
        metadata=told(
            "What the handler gets; checked against the kind's schema. `{}` if left out."
        ),
    )
    queue_name = fields.String(
        allow_none=True,
        validate=Spelled(QUEUE_NAME, "Must be 1 to 64 letters, digits, '_' and '-'."),
        metadata=told("Where it waits; the kind's own queue if left out.", "default"),
    )
    priority = fields.String(
        allow_none=True,
        validate=OneOf([str(each) for each in Priority]),
        metadata=told("How urgent it is; the kind's own priority if left out.", "normal"),
    )
    run_at = Time(
        allow_none=True,
        metadata=told(
            "Not before this time. A time in the past means at once. Not with `delay`.", A_TIME
        ),
    )
    delay = Number(
        allow_none=True,
        validate=Range(min=0, max=LONGEST_DELAY),
        metadata=told("Not before this many seconds from now. Not with `run_at`.", 30),
    )
    max_retries = Whole(
        allow_none=True,
        validate=Range(min=0, max=MAX_RETRIES),
        metadata=told("Retries after the first attempt; the kind's own if left out.", 3),
    )
    timeout = Number(
        allow_none=True,
        validate=Range(min=SHORTEST_TIMEOUT, max=LONGEST_TIMEOUT),
        metadata=told("Seconds one attempt may take; the kind's own if left out.", 300),
    )
    expires_at = Time(
        allow_none=True,
        metadata=told("Unstarted by then, it is cancelled instead of run late.", A_TIME),
    )
    labels = fields.Dict(
        keys=fields.String(
            validate=Spelled(LABEL, "Must be 1 to 64 letters, digits, '_', '.', '/' and '-'.")
        ),
        values=fields.String(validate=Length(max=LABEL_VALUE_LENGTH)),
        allow_none=True,
        validate=Length(max=LABELS),
        metadata=told("Free tags to filter by.", {"customer": "acme"}),
    )

    @validates_schema(skip_on_field_errors=False)
    def agree(self, submission: dict[str, Any], **_: Any) -> None:
        problem = contradiction(*map(submission.get, ("run_at", "delay", "expires_at")))
        if problem:
            raise ValidationError(problem, "delay" if "delay" in problem else "expires_at")


def contradiction(
    run_at: datetime | None, delay: float | None, expires_at: datetime | None
) -> str | None:
    """What is wrong with the times of a submission taken together, if anything."""
    if run_at is not None and delay is not None:
        return "Give run_at or delay, not both."
    if run_at is not None and expires_at is not None and expires_at <= run_at:
        return "Must be later than run_at, or the task could never start."
    return None


class FailureBody(Schema):
    """What went wrong in an attempt."""

    type = fields.String(required=True, metadata=told("The kind of error.", "ConnectionError"))
    message = fields.String(
        required=True, metadata=told("What it says.", "503 from api.example.com")
    )
    traceback = fields.String(allow_none=True, metadata=told("Where it happened in the handler."))


class ProgressBody(Schema):
    """How far a handler says it is."""

    done = fields.Float(allow_none=True, metadata=told("Units done.", 3))
    total = fields.Float(allow_none=True, metadata=told("Units in all.", 10))
    message = fields.String(allow_none=True, metadata=told("In words.", "3 of 10 pages"))


class TaskBody(Schema):
    """A task."""

    id = fields.UUID(required=True, metadata=told("A UUID of version 7; also RQ's job id.", AN_ID))
    name = fields.String(required=True, metadata=told("The kind of task.", "example_task"))
    payload = fields.Dict(
        keys=fields.String(),
        required=True,
        allow_none=True,
        metadata=told(f"As submitted. {UNSEEN} {UNREADABLE}", {"message": "hello"}),
    )
    queue_name = fields.String(required=True, metadata=told("Where it waits.", "default"))
    priority = fields.String(
        required=True,
        validate=OneOf([str(each) for each in Priority]),
        metadata=told("How urgent it is.", "normal"),
    )
    status = fields.String(
        required=True,
        validate=OneOf([str(each) for each in Status]),
        metadata=told("Where it is in its life.", "pending"),
    )
    result = fields.Raw(
        required=True,
        allow_none=True,
        metadata=told(f"What its handler returned; null until succeeded. {UNSEEN}"),
    )
    error = fields.Nested(
        FailureBody,
        required=True,
        allow_none=True,
        metadata=told(f"Of the last failed attempt, or null. {UNSEEN}"),
    )
    attempts = fields.Integer(required=True, metadata=told("Attempts started so far.", 0))
    max_retries = fields.Integer(
        required=True, metadata=told("Retries after the first attempt.", 3)
    )
    timeout = fields.Float(required=True, metadata=told("Seconds one attempt may take.", 300))
    run_at = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata=told("When the next attempt is due, while scheduled."),
    )
    expires_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata=told("When it is cancelled if it has not started.")
    )
    labels = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata=told("Free tags to filter by.", {"customer": "acme"}),
    )
    progress = fields.Nested(
        ProgressBody,
        required=True,
        allow_none=True,
        metadata=told("What its handler last reported."),
    )
    worker = fields.String(
        required=True,
        allow_none=True,
        metadata=told("The worker of the current or last attempt.", A_WORKER),
    )
    schedule_id = fields.UUID(
        required=True, allow_none=True, metadata=told("The schedule that fired it, or null.")
    )
    created_at = fields.AwareDateTime(required=True, metadata=told("When it was accepted.", A_TIME))
    started_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata=told("When the current or last attempt began.")
    )
    finished_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata=told("When it ended.")
    )
    updated_at = fields.AwareDateTime(required=True, metadata=told("When it last moved.", A_TIME))


class TaskPage(Schema):
    """Tasks, newest first."""

    items = fields.List(fields.Nested(TaskBody), required=True, metadata=told("The tasks."))
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata=told("Where the next page begins; null on the last."),
    )


class BatchBody(Schema):
    """Tasks to be accepted together, or not at all."""

    tasks = fields.List(
        fields.Nested(SubmissionBody),
        required=True,
        validate=Length(min=1, max=BATCH),
        metadata=told(f"1 to {BATCH} tasks."),
    )


class BatchAnswer(Schema):
    """The ids of a batch."""

    ids = fields.List(
        fields.UUID(), required=True, metadata=told("In the order of the tasks.", [AN_ID])
    )


class TaskQuestion(Schema):
    """How a single task is asked for."""

    wait = WrittenNumber(
        validate=Range(min=0, max=LONGEST_WAIT),
        metadata=told("Seconds to wait for the task to finish before answering.", 30),
    )


class TaskFilter(Schema):
    """Which tasks a list shows."""

    status = fields.String(
        validate=OneOf([str(each) for each in Status]), metadata=told("Only tasks in this status.")
    )
    name = fields.String(
        validate=Spelled(NAME, "Not the name of a kind of task."),
        metadata=told("Only of this kind."),
    )
    queue_name = fields.String(
        validate=Spelled(QUEUE_NAME, "Must be 1 to 64 letters, digits, '_' and '-'."),
        metadata=told("Only from this queue name."),
    )
    priority = fields.String(
        validate=OneOf([str(each) for each in Priority]), metadata=told("Only of this priority.")
    )
    label = fields.String(
        validate=Spelled(
            "^[A-Za-z0-9_./-]{1,64}:[^\\u0000]{0,256}$",
            "Must be a label's key and value: key:value.",
        ),
        metadata=told("Only with this label, as `key:value`."),
    )
    created_after = Time(metadata=told("Only accepted after this time."))
    created_before = Time(metadata=told("Only accepted before this time."))
    limit = WrittenWhole(
        load_default=PAGE,
        validate=Range(min=1, max=LONGEST_PAGE),
        metadata=told("How many at most."),
    )
    cursor = fields.String(
        validate=Length(max=200), metadata=told("The `next_cursor` of the page before.")
    )


class AttemptBody(Schema):
    """One execution of a task."""

    number = fields.Integer(required=True, metadata=told("From 1, without a gap.", 1))
    worker = fields.String(required=True, metadata=told("Who held it.", A_WORKER))
    started_at = fields.AwareDateTime(required=True, metadata=told("When it began.", A_TIME))
    ended_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata=told("When it ended; null while it runs.")
    )
    outcome = fields.String(
        required=True,
        allow_none=True,
        validate=OneOf([str(each) for each in Outcome]),
        metadata=told("How it ended; null while it runs.", "succeeded"),
    )
    error = fields.Nested(
        FailureBody,
        required=True,
        allow_none=True,
        metadata=told(f"What went wrong, or null. {UNSEEN}"),
    )


class AttemptList(Schema):
    """Every attempt of a task."""

    items = fields.List(fields.Nested(AttemptBody), required=True, metadata=told("First to last."))


class MoveBody(Schema):
    """One move in a task's life."""

    at = fields.AwareDateTime(required=True, metadata=told("When.", A_TIME))
    move = fields.String(
        required=True,
        validate=OneOf(["submit", *(each.name.lower() for each in Move)]),
        metadata=told("What happened.", "start"),
    )
    by = fields.String(
        required=True, metadata=told("Who: the client, the worker or the clock.", A_WORKER)
    )
    from_ = fields.String(
        data_key="from",
        required=True,
        allow_none=True,
        metadata=told("The status before.", "pending"),
    )
    to = fields.String(required=True, metadata=told("The status after.", "running"))
    attempt = fields.Integer(
        required=True, allow_none=True, metadata=told("The attempt it belongs to, or null.", 1)
    )


class MoveList(Schema):
    """A task's life."""

    items = fields.List(fields.Nested(MoveBody), required=True, metadata=told("First to last."))


class KindBody(Schema):
    """A kind of task."""

    name = fields.String(
        required=True, metadata=told("What a submission calls it.", "example_task")
    )
    description = fields.String(required=True, metadata=told("What it does."))
    queue_name = fields.String(required=True, metadata=told("Where its tasks wait.", "default"))
    priority = fields.String(
        required=True,
        validate=OneOf([str(each) for each in Priority]),
        metadata=told("How urgent its tasks are.", "normal"),
    )
    timeout = fields.Float(required=True, metadata=told("Seconds one attempt may take.", 300))
    max_retries = fields.Integer(
        required=True, metadata=told("Retries after the first attempt.", 3)
    )
    schema = fields.Dict(
        keys=fields.String(), required=True, metadata=told("JSON Schema of the payload.")
    )


class KindList(Schema):
    """Every kind of task."""

    items = fields.List(fields.Nested(KindBody), required=True, metadata=told("By name."))


class QueueBody(Schema):
    """One queue name at one priority: one RQ queue."""

    queue_name = fields.String(required=True, metadata=told("The queue name.", "default"))
    priority = fields.String(
        required=True,
        validate=OneOf([str(each) for each in Priority]),
        metadata=told("The priority.", "high"),
    )
    rq_queue = fields.String(required=True, metadata=told("What RQ calls it.", "default:high"))
    pending = fields.Integer(required=True, metadata=told("Tasks that wait for a worker."))
    running = fields.Integer(required=True, metadata=told("Tasks that workers hold."))
    scheduled = fields.Integer(required=True, metadata=told("Tasks that wait for their time."))
    oldest_pending_seconds = fields.Float(
        required=True,
        allow_none=True,
        metadata=told("How long the oldest pending task has waited."),
    )
    submitted_per_minute = fields.Float(required=True, metadata=told("Over the last minute."))
    finished_per_minute = fields.Float(required=True, metadata=told("Over the last minute."))
    workers = fields.Integer(required=True, metadata=told("Living workers that serve it."))
    paused = fields.Boolean(required=True, metadata=told("Whether workers are told to leave it."))


class QueueList(Schema):
    """Every queue."""

    items = fields.List(
        fields.Nested(QueueBody), required=True, metadata=told("By name, most urgent first.")
    )


class WorkerBody(Schema):
    """One incarnation of a worker process."""

    name = fields.String(required=True, metadata=told("Also its name in RQ.", A_WORKER))
    host = fields.String(required=True, metadata=told("The machine it runs on."))
    pid = fields.Integer(required=True, metadata=told("Its process id there."))
    state = fields.String(
        required=True,
        validate=OneOf(["busy", "idle", "stopping", "silent"]),
        metadata=told("`silent`: its lease has run out. While suspended by `rq suspend`: `idle`."),
    )
    queues = fields.List(
        fields.String(), required=True, metadata=told("Queue names it is limited to; empty: all.")
    )
    concurrency = fields.Integer(required=True, metadata=told("Tasks it can run at a time."))
    running = fields.Integer(required=True, metadata=told("Tasks it holds."))
    succeeded = fields.Integer(required=True, metadata=told("Attempts that succeeded so far."))
    failed = fields.Integer(required=True, metadata=told("Attempts that failed so far."))
    started_at = fields.AwareDateTime(required=True, metadata=told("When it began.", A_TIME))
    last_seen_at = fields.AwareDateTime(
        required=True, metadata=told("Its last sign of life.", A_TIME)
    )


class WorkerList(Schema):
    """Every living worker."""

    items = fields.List(fields.Nested(WorkerBody), required=True, metadata=told("By name."))


class SampleBody(Schema):
    """One figure."""

    name = fields.String(required=True, metadata=told("Its name in Prometheus."))
    labels = fields.Dict(
        keys=fields.String(), values=fields.String(), required=True, metadata=told("Its labels.")
    )
    value = fields.Float(required=True, metadata=told("The figure."))


class FamilyBody(Schema):
    """Figures of the same meaning."""

    name = fields.String(required=True, metadata=told("The name of the family."))
    type = fields.String(
        required=True,
        validate=OneOf(["counter", "gauge", "histogram"]),
        metadata=told("What kind of figures they are."),
    )
    help = fields.String(required=True, metadata=told("What they mean."))
    samples = fields.List(fields.Nested(SampleBody), required=True, metadata=told("The figures."))


class MetricsBody(Schema):
    """All figures."""

    metrics = fields.List(fields.Nested(FamilyBody), required=True, metadata=told("By meaning."))


class HealthBody(Schema):
    """Whether servers answer."""

    status = fields.String(
        required=True,
        validate=OneOf(["ok", "unavailable"]),
        metadata=told("`ok` if all of them do."),
    )
    checks = fields.Dict(
        keys=fields.String(),
        values=fields.String(validate=OneOf(["ok", "unavailable"])),
        required=True,
        metadata=told("Each server's state.", {"db": "ok", "redis": "ok"}),
    )
