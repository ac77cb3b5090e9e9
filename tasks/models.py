"""Every table, each column explained. The schema itself refuses the impossible."""

from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from tasks.lifecycle import FINISHED, Outcome, Priority, Status
from tasks.policies import FireOutcome, Missed, Overlap
from tasks.recurrence import Gap

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "pk": "%(table_name)s_pkey",
}


LABEL_LENGTH = 256  # letters of a label by which it is found, as in the trigger of migration 0010
Member = TypeVar("Member", bound=StrEnum)


class OneOf(TypeDecorator[Member]):
    """Text in the table, a member of an enumeration in Python."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[Member]) -> None:
        super().__init__()
        self.words = words

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Member | None:
        return None if value is None else self.words(value)


class Record(DeclarativeBase):
    """A row of ours."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy reads this name from the class
        str: Text,
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        dict[str, str]: JSONB,
        Status: OneOf(Status),
        Priority: OneOf(Priority),
        Outcome: OneOf(Outcome),
        Gap: OneOf(Gap),
        Overlap: OneOf(Overlap),
        Missed: OneOf(Missed),
        FireOutcome: OneOf(FireOutcome),
        float: Double,
    }


def one_of(column: str, words: type[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(str(word)) for word in words)})"


def _finished() -> str:
    return ", ".join(repr(str(status)) for status in sorted(FINISHED))


class Task(Record):
    """The promise: one row for each accepted task, kept until its retention ends."""

    __tablename__ = "tasks"

    id: Mapped[UUID] = mapped_column(
        primary_key=True
    )  # version 7: ordered by time; also RQ's job id
    name: Mapped[str]  # the kind of task
    payload: Mapped[dict[str, Any]]  # as submitted; secret fields are encrypted inside it
    queue_name: Mapped[str]
    priority: Mapped[Priority]
    status: Mapped[Status]  # written by `store` alone, and only by a move
    run_at: Mapped[datetime | None]  # when the next attempt is due, while scheduled
    expires_at: Mapped[datetime | None]  # unstarted by then: cancelled instead of run late
    timeout: Mapped[float]  # seconds for one attempt
    max_retries: Mapped[int] = mapped_column(
        SmallInteger
    )  # counted failures allowed after the first
    attempt: Mapped[int] = mapped_column(
        server_default=text("0")
    )  # starts so far: half of the fence
    failures: Mapped[int] = mapped_column(
        SmallInteger, server_default=text("0")
    )  # since last rerun
    crashes: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  # since last rerun
    worker_id: Mapped[str | None]  # worker of the current or last attempt: the other half
    pending_since: Mapped[
        datetime | None
    ]  # when it last became pending; its wait is counted from here
    started_at: Mapped[datetime | None]  # of the current or last attempt
    finished_at: Mapped[datetime | None]
    result: Mapped[Any | None] = mapped_column(
        JSONB(none_as_null=True)
    )  # what the handler returned
    error: Mapped[dict[str, Any] | None]  # of the last failed attempt: type, message, traceback
    progress: Mapped[dict[str, Any] | None]  # what the handler last reported: done, total, message
    labels: Mapped[dict[str, str]] = mapped_column(server_default=text("'{}'::jsonb"))
    request_id: Mapped[str | None]  # of the HTTP request that submitted it, for the logs
    schedule_id: Mapped[UUID | None]  # the schedule that fired it
    scheduled_for: Mapped[datetime | None]  # … and the tick it was fired for
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint(one_of("status", Status), name="status"),
        CheckConstraint(one_of("priority", Priority), name="priority"),
        CheckConstraint(
            f"(status IN ({_finished()})) = (finished_at IS NOT NULL)", name="finished_has_time"
        ),
        CheckConstraint(
            "status <> 'running' OR"
            " (worker_id IS NOT NULL AND started_at IS NOT NULL AND attempt > 0)",
            name="running_has_holder",
        ),
        CheckConstraint("status <> 'scheduled' OR run_at IS NOT NULL", name="scheduled_has_time"),
        CheckConstraint(
            "status <> 'pending' OR pending_since IS NOT NULL", name="pending_has_time"
        ),
        CheckConstraint("result IS NULL OR status = 'succeeded'", name="result_means_success"),
        CheckConstraint(
            "attempt >= 0 AND failures >= 0 AND crashes >= 0 AND max_retries >= 0 AND timeout > 0",
            name="counts",
        ),
        CheckConstraint("(schedule_id IS NULL) = (scheduled_for IS NULL)", name="fired_for_tick"),
        Index("tasks_due", "run_at", postgresql_where=text("status = 'scheduled'")),
        Index(
            "tasks_pending",
            "queue_name",
            "priority",
            "pending_since",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("tasks_held", "worker_id", postgresql_where=text("status = 'running'")),
        Index(
            "tasks_expiring",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL AND status IN ('scheduled', 'pending')"),
        ),
        Index("tasks_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index("tasks_listed", "name", "queue_name", "status", "priority", "id"),  # see `groups`
        Index(
            "tasks_of_tick",
            "schedule_id",
            "scheduled_for",
            unique=True,
            postgresql_where=text("schedule_id IS NOT NULL"),
        ),
        Index(
            "tasks_unfinished_of_schedule",
            "schedule_id",
            postgresql_where=text("schedule_id IS NOT NULL AND finished_at IS NULL"),
        ),
        {"postgresql_with": {"fillfactor": "80"}},
    )


class TaskLabel(Record):
    """One label of a task, written and deleted with it by a trigger, so that lists are in order."""

    __tablename__ = "task_labels"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)  # the first `LABEL_LENGTH` letters of both
    task_id: Mapped[UUID] = mapped_column(primary_key=True)


class Attempt(Record):
    """One execution of a task, written when it ends, by whoever ends it, with the task's move.

    There is no foreign key to `tasks`: its check costs a row lock on the hot path, and the row is
    only ever inserted from the `RETURNING` of the task's own update.
    """

    __tablename__ = "attempts"

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1, without a gap
    worker_id: Mapped[str]
    pending_since: Mapped[datetime]  # when the task had last become pending before this start
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime] = mapped_column(server_default=func.now())
    outcome: Mapped[Outcome]
    move: Mapped[str]  # the move this end made: succeed, retry, fail, release, rescue …
    error: Mapped[dict[str, Any] | None]  # type, message, traceback of a failed one

    __table_args__ = (
        CheckConstraint(one_of("outcome", Outcome), name="outcome"),
        CheckConstraint("number > 0", name="numbered_from_one"),
    )


class Worker(Record):
    """One incarnation of a worker process; its lease is how long it is believed alive."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)  # its RQ worker name, unique per incarnation
    host: Mapped[str]
    pid: Mapped[int]
    queues: Mapped[list[str]] = mapped_column(
        ARRAY(Text)
    )  # queue names it is limited to; empty: all
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text))  # kinds of task it knows
    concurrency: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]  # the lease; past it, its running tasks are rescued
    stopping: Mapped[bool] = mapped_column(server_default=text("false"))  # finishing what it holds
    succeeded: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # attempts so far
    failed: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))

    __table_args__ = (
        Index("workers_lease", "expires_at"),
        {"postgresql_with": {"fillfactor": "50"}},
    )


class IdempotencyKey(Record):
    """The first answer to a submission that carried an `Idempotency-Key`."""

    __tablename__ = "idempotency_keys"

    principal: Mapped[str] = mapped_column(
        primary_key=True
    )  # API key id, or "" without authentication
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)  # SHA-256 of the request
    task_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("idempotency_keys_age", "created_at"),)


class AuditEntry(Record):
    """Who did what, when and from where: append-only."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    principal: Mapped[
        str
    ]  # API key id, "" without authentication, "python" for code that shares the database
    address: Mapped[str | None]  # where the request came from
    action: Mapped[str]  # task.cancel, task.rerun, task.submit, key.create …
    subject: Mapped[str | None]  # what it was done to: a task id, a schedule id …
    from_status: Mapped[Status | None]  # for a move: where the task was
    details: Mapped[dict[str, Any] | None]

    __table_args__ = (Index("audit_by_subject", "subject", "id"),)


# Changes of status not yet added up: written by a trigger on `tasks`, one row per group and
# statement. Append-only and without a key, so that writers never wait for each other.
tally_deltas = Table(
    "tally_deltas",
    Record.metadata,
    Column("at", TIMESTAMP(timezone=True), nullable=False, server_default=func.now()),
    Column("name", Text, nullable=False),
    Column("queue_name", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("from_status", Text, nullable=False),  # "" for a new row
    Column("to_status", Text, nullable=False),  # "" for a deleted row
    Column(
        "bucket", SmallInteger, nullable=False
    ),  # of the wait or run, see `Tally`; -1: no duration
    Column("n", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
)


class Tally(Record):
    """Every change of status since the beginning, added up: depths, counters and histograms."""

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(primary_key=True)
    queue_name: Mapped[str] = mapped_column(primary_key=True)
    priority: Mapped[Priority] = mapped_column(primary_key=True)
    from_status: Mapped[str] = mapped_column(primary_key=True)
    to_status: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True
    )  # in stats.BUCKETS; -1: none
    n: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]  # sum of the waits (into running) or of the runs (out of running)


class QueueStat(Record):
    """What happened on one queue in one minute."""

    __tablename__ = "queue_stats"

    minute: Mapped[datetime] = mapped_column(primary_key=True)
    queue_name: Mapped[str] = mapped_column(primary_key=True)
    priority: Mapped[Priority] = mapped_column(primary_key=True)
    submitted: Mapped[int] = mapped_column(BigInteger)
    started: Mapped[int] = mapped_column(BigInteger)
    succeeded: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    cancelled: Mapped[int] = mapped_column(BigInteger)
    retried: Mapped[int] = mapped_column(BigInteger)
    wait_seconds: Mapped[float]  # sum over the started
    run_seconds: Mapped[float]  # sum over the ended attempts


class RedisMemory(Record):
    """The one row that tells which life of Redis all pending tasks were last pushed to."""

    __tablename__ = "redis_memory"

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    epoch: Mapped[str]  # Redis's run id and our marker in it

    __table_args__ = (CheckConstraint("one", name="only_row"),)


class ApiKey(Record):
    """Who may ask for what: one client of the service. Kept when it has ended, for the audit."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)  # public, in every token of the key
    name: Mapped[str]  # what people call it
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))  # see `keys.Scope`
    queue_names: Mapped[list[str]] = mapped_column(ARRAY(Text))  # it is bound to; empty: all
    submit_rate: Mapped[float | None]  # tasks per second; null: the service's SUBMIT_RATE
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # to the minute, so that no request pays a write
    secrets: Mapped[list["ApiKeySecret"]] = relationship(
        viewonly=True, lazy="selectin", order_by="ApiKeySecret.created_at"
    )

    __table_args__ = (
        CheckConstraint("id ~ '^[a-z0-9]{10}$'", name="id_has_shape"),
        CheckConstraint("cardinality(scopes) > 0", name="has_scope"),
        CheckConstraint("submit_rate > 0", name="rate_is_positive"),
    )


class ApiKeySecret(Record):
    """One token of a key, as its hash; two are valid while a rotation overlaps."""

    __tablename__ = "api_key_secrets"

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)  # SHA-256 of the token
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    prefix: Mapped[str]  # how the token begins, to tell two apart
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]  # the end of the overlap, for a token that was replaced

    __table_args__ = (
        CheckConstraint("octet_length(hash) = 32", name="hash_is_sha256"),
        Index("api_key_secrets_of_key", "key_id"),
    )


class Schedule(Record):
    """A rule that creates a task at each of its ticks."""

    __tablename__ = "schedules"

    id: Mapped[UUID] = mapped_column(primary_key=True)  # version 7
    name: Mapped[str] = mapped_column(unique=True)
    task_name: Mapped[str]  # the kind of task; this and what follows is copied into each task
    payload: Mapped[dict[str, Any]]  # secret fields are encrypted inside it
    queue_name: Mapped[str]
    priority: Mapped[Priority]
    labels: Mapped[dict[str, str]] = mapped_column(server_default=text("'{}'::jsonb"))
    max_retries: Mapped[int] = mapped_column(SmallInteger)
    timeout: Mapped[float]  # seconds for one attempt
    cron: Mapped[str | None]  # one of these three says when it fires
    every: Mapped[float | None]  # seconds
    at: Mapped[datetime | None]  # once
    timezone: Mapped[str] = mapped_column(server_default=text("'UTC'"))  # of its cron: IANA name
    starts_at: Mapped[datetime | None]  # the first moment at which it may fire
    ends_at: Mapped[datetime | None]  # … and the first at which it may not any more
    gap: Mapped[Gap]  # what becomes of a local time that does not exist
    jitter: Mapped[float] = mapped_column(server_default=text("0"))  # seconds a tick may be late
    overlap: Mapped[Overlap]  # what becomes of a tick while an earlier task is unfinished
    missed: Mapped[Missed]  # what becomes of ticks that nobody fired in time
    catchup_window: Mapped[float]  # seconds back within which missed ticks are looked at
    pause_after_failures: Mapped[int | None] = mapped_column(SmallInteger)  # in a row; null: never
    failures_from: Mapped[datetime] = mapped_column(server_default=func.now())  # counted since then
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    pause_reason: Mapped[str | None]
    note: Mapped[str | None]  # for people
    decided_until: Mapped[datetime]  # every tick up to here fired, or was skipped for a reason
    next_fire_at: Mapped[datetime | None]  # when the next tick is due, jitter included
    zone_version: Mapped[str]  # of the zone database that says so
    last_fire_at: Mapped[datetime | None]  # when a tick last fired
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())  # by people, not ticks

    __table_args__ = (
        CheckConstraint("num_nonnulls(cron, every, at) = 1", name="one_rule"),
        CheckConstraint(one_of("priority", Priority), name="priority"),
        CheckConstraint(one_of("gap", Gap), name="gap"),
        CheckConstraint(one_of("overlap", Overlap), name="overlap"),
        CheckConstraint(one_of("missed", Missed), name="missed"),
        CheckConstraint(
            "every >= 1 AND jitter >= 0 AND catchup_window >= 0 AND pause_after_failures > 0 "
            "AND timeout > 0 AND max_retries >= 0",
            name="figures",
        ),
        CheckConstraint("NOT (paused AND next_fire_at IS NOT NULL)", name="paused_fires_never"),
        Index("schedules_due", "next_fire_at", postgresql_where=text("next_fire_at IS NOT NULL")),
        Index(
            "schedules_watched",
            "id",
            postgresql_where=text("pause_after_failures IS NOT NULL AND NOT paused"),
        ),
        {"postgresql_with": {"fillfactor": "70"}},
    )


class ScheduleFire(Record):
    """One tick of a schedule, decided once: this row is written with its task or not at all."""

    __tablename__ = "schedule_fires"

    schedule_id: Mapped[UUID] = mapped_column(
        ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True
    )
    scheduled_for: Mapped[datetime] = mapped_column(primary_key=True)  # the tick
    fired_at: Mapped[datetime] = mapped_column(server_default=func.now())  # when it was decided
    outcome: Mapped[FireOutcome]
    reason: Mapped[str | None]  # why it was skipped, or who asked for it
    task_id: Mapped[UUID | None]  # no foreign key: tasks are pruned earlier

    __table_args__ = (
        CheckConstraint(one_of("outcome", FireOutcome), name="outcome"),
        CheckConstraint("(outcome = 'fired') = (task_id IS NOT NULL)", name="fired_has_task"),
        Index(
            "schedule_fires_waiting", "schedule_id", postgresql_where=text("outcome = 'waiting'")
        ),
        Index("schedule_fires_age", "fired_at", postgresql_using="brin"),
    )


class DeclaredSchedule(Record):
    """What code last declared under a name: what differs from it was changed by hand."""

    __tablename__ = "declared_schedules"

    name: Mapped[str] = mapped_column(primary_key=True)
    declaration: Mapped[dict[str, Any]]  # the values of the schedule's columns
    synchronised_at: Mapped[datetime] = mapped_column(server_default=func.now())
