"""What clients send and receive about schedules, field by field."""

from marshmallow import Schema, fields
from marshmallow.validate import Length, Range

from api.fields import Flag, Number, Spelled, Time, Whole, WrittenFlag, WrittenWhole
from api.schemas import A_TIME, AN_ID, LONGEST_PAGE, PAGE, UNREADABLE, UNSEEN, SubmissionBody, told
from tasks.objections import LONGEST_CRON, LONGEST_EVERY, SHORTEST_EVERY
from tasks.policies import FireOutcome, Missed, Overlap
from tasks.recurrence import Gap
from tasks.schedule_actions import MOST_AT_ONCE
from tasks.schedule_plan import (
    LONGEST_JITTER,
    LONGEST_NAME,
    LONGEST_NOTE,
    LONGEST_WINDOW,
    MOST_FAILURES,
)

NAME = f"^[A-Za-z0-9][A-Za-z0-9 _.:/-]{{0,{LONGEST_NAME - 1}}}$"
NAME_SAID = f"Must be 1 to {LONGEST_NAME} letters, digits, spaces, '_', '.', ':', '/' and '-'."
LONGEST_ZONE = 64
LONGEST_REASON = 500
UPCOMING, MOST_UPCOMING = 5, 100

CRON = (
    "Five fields (minute, hour, day of month, month, day of week), or six with seconds first, or "
    "`@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. If neither day field begins with `*`, "
    "either may match, as in Vixie cron. A schedule of certain hours fires once for each local "
    "time; a schedule of every hour follows elapsed time when clocks are changed."
)
EVERY = (
    "Seconds between two ticks, counted from `starts_at`, or from 1970 without it: they never "
    "drift."
)
GAP = (
    "What becomes of a local time that does not exist, because the clocks jump over it: it fires "
    "right after the gap, or is skipped. One that exists twice fires once, the first time."
)
OVERLAP = (
    "What becomes of a tick while an earlier task of the schedule is unfinished. `allow`: it runs "
    "beside it; `skip`: it does not run; `queue_one`: it runs after it, and one may wait; "
    "`cancel_running`: it replaces it."
)
MISSED = (
    "What becomes of ticks that no scheduler was there for. `skip`: none runs; `run_once`: the "
    "latest runs for all; `run_all`: each runs. A tick less than 15 seconds late is not missed."
)
WINDOW = "Seconds back within which missed ticks are looked at."
JITTER = "Up to so many seconds a tick fires late, by a chance of its own that never changes."
FAILURES = "It is paused after so many failed tasks in a row; null: never."


class TaskRequest(SubmissionBody):
    """What each tick submits: a task, without its times."""

    class Meta:
        exclude = ("run_at", "delay", "expires_at")


class TaskChange(TaskRequest):
    """Fields to change in what each tick submits. `null` means: as the kind says."""

    name = fields.String(
        validate=SubmissionBody._declared_fields["name"].validate,
        metadata=told("The kind of task.", "example_task"),
    )


class Policies(Schema):
    """When and how a schedule fires."""

    cron = fields.String(
        allow_none=True, validate=Length(max=LONGEST_CRON), metadata=told(CRON, "0 6 * * mon-fri")
    )
    every = Number(
        allow_none=True,
        validate=Range(min=SHORTEST_EVERY.total_seconds(), max=LONGEST_EVERY.total_seconds()),
        metadata=told(EVERY, 300),
    )
    at = Time(allow_none=True, metadata=told("Once, at this time.", A_TIME))
    timezone = fields.String(
        allow_none=True,
        validate=Length(max=LONGEST_ZONE),
        metadata=told("The IANA zone of `cron`; `UTC` if left out.", "Europe/Paris"),
    )
    starts_at = Time(allow_none=True, metadata=told("It does not fire before this time.", A_TIME))
    ends_at = Time(allow_none=True, metadata=told("From this time on it fires no more."))
    gap = fields.Enum(Gap, by_value=True, allow_none=True, metadata=told(GAP, "run_after"))
    jitter = Number(
        allow_none=True, validate=Range(min=0, max=LONGEST_JITTER), metadata=told(JITTER, 0)
    )
    overlap = fields.Enum(Overlap, by_value=True, allow_none=True, metadata=told(OVERLAP, "allow"))
    missed = fields.Enum(Missed, by_value=True, allow_none=True, metadata=told(MISSED, "run_once"))
    catchup_window = Number(
        allow_none=True, validate=Range(min=0, max=LONGEST_WINDOW), metadata=told(WINDOW, 86400)
    )
    pause_after_failures = Whole(
        allow_none=True, validate=Range(min=1, max=MOST_FAILURES), metadata=told(FAILURES, 5)
    )
    paused = Flag(allow_none=True, metadata=told("A paused schedule fires nothing.", False))
    pause_reason = fields.String(
        allow_none=True, validate=Length(max=LONGEST_REASON), metadata=told("Why it is paused.")
    )
    note = fields.String(
        allow_none=True, validate=Length(max=LONGEST_NOTE), metadata=told("For people.")
    )


class ScheduleRequest(Policies):
    """A schedule as a client asks for it: exactly one of `cron`, `every` and `at`."""

    name = fields.String(
        required=True,
        validate=Spelled(NAME, NAME_SAID),
        metadata=told("What people call it; no two have the same.", "morning report"),
    )
    task = fields.Nested(TaskRequest, required=True, metadata=told("What each tick submits."))


class ScheduleChange(Policies):
    """Fields to change; `null` means: as if it had never been given.

    With one of `cron`, `every` and `at` the other two go. A change of when it fires takes effect
    from now on.
    """

    name = fields.String(validate=Spelled(NAME, NAME_SAID), metadata=told("A new name."))
    task = fields.Nested(TaskChange, metadata=told("Fields to change in what each tick submits."))


class ScheduledTaskBody(Schema):
    """What each tick submits."""

    name = fields.String(required=True, metadata=told("The kind of task.", "example_task"))
    payload = fields.Dict(
        keys=fields.String(),
        required=True,
        allow_none=True,
        metadata=told(f"What its handler gets. {UNSEEN} {UNREADABLE}", {"message": "good morning"}),
    )
    queue_name = fields.String(required=True, metadata=told("Where it waits.", "default"))
    priority = fields.String(required=True, metadata=told("How urgent it is.", "normal"))
    labels = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata=told("Free tags to filter by.", {"customer": "acme"}),
    )
    max_retries = fields.Integer(
        required=True, metadata=told("Retries after the first attempt.", 3)
    )
    timeout = fields.Float(required=True, metadata=told("Seconds one attempt may take.", 300))


class ScheduleBody(Schema):
    """A schedule."""

    id = fields.UUID(required=True, metadata=told("A UUID of version 7.", AN_ID))
    name = fields.String(required=True, metadata=told("What people call it.", "morning report"))
    task = fields.Nested(ScheduledTaskBody, required=True, metadata=told("What each tick submits."))
    cron = fields.String(required=True, allow_none=True, metadata=told(CRON, "0 6 * * mon-fri"))
    every = fields.Float(required=True, allow_none=True, metadata=told(EVERY))
    at = fields.AwareDateTime(required=True, allow_none=True, metadata=told("Once, at this time."))
    timezone = fields.String(
        required=True, metadata=told("The zone whose clocks `cron` means.", "Europe/Paris")
    )
    starts_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata=told("It does not fire before this time.")
    )
    ends_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata=told("From this time on it fires no more.")
    )
    gap = fields.Enum(Gap, by_value=True, required=True, metadata=told(GAP, "run_after"))
    jitter = fields.Float(required=True, metadata=told(JITTER, 0))
    overlap = fields.Enum(Overlap, by_value=True, required=True, metadata=told(OVERLAP, "allow"))
    missed = fields.Enum(Missed, by_value=True, required=True, metadata=told(MISSED, "run_once"))
    catchup_window = fields.Float(required=True, metadata=told(WINDOW, 86400))
    pause_after_failures = fields.Integer(
        required=True, allow_none=True, metadata=told(FAILURES, 5)
    )
    paused = fields.Boolean(required=True, metadata=told("A paused schedule fires nothing."))
    pause_reason = fields.String(
        required=True, allow_none=True, metadata=told("Why it is paused, if somebody said so.")
    )
    note = fields.String(required=True, allow_none=True, metadata=told("For people."))
    next_fire_at = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata=told("When the next tick is due, with its jitter; null: never.", A_TIME),
    )
    last_fire_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata=told("When it last submitted a task.")
    )
    created_at = fields.AwareDateTime(required=True, metadata=told("When it was made.", A_TIME))
    updated_at = fields.AwareDateTime(
        required=True, metadata=told("When somebody last changed it.", A_TIME)
    )


class SchedulePage(Schema):
    """Schedules, newest first."""

    items = fields.List(fields.Nested(ScheduleBody), required=True, metadata=told("Schedules."))
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata=told("Where the next page begins; null on the last."),
    )


class ScheduleFilter(Schema):
    """Which schedules a list shows."""

    name = fields.String(
        validate=Spelled(NAME, NAME_SAID), metadata=told("Only the one of this name.")
    )
    paused = WrittenFlag(metadata=told("Only those that are paused, or only the others."))
    limit = WrittenWhole(
        load_default=PAGE,
        validate=Range(min=1, max=LONGEST_PAGE),
        metadata=told("Schedules in a page."),
    )
    cursor = fields.String(
        validate=Length(max=200), metadata=told("The `next_cursor` of the page before.")
    )


class PauseRequest(Schema):
    """How a schedule is paused."""

    reason = fields.String(
        allow_none=True,
        load_default=None,
        validate=Length(max=LONGEST_REASON),
        metadata=told("Why, for those who find it paused.", "the supplier moves house"),
    )


class BackfillRequest(Schema):
    """Which ticks of the past are to run."""

    from_ = Time(
        data_key="from", required=True, metadata=told("The first moment that counts.", A_TIME)
    )
    to = Time(required=True, metadata=told("The first moment that does not; not in the future."))
    dry_run = Flag(load_default=False, metadata=told("Only say which ticks would run.", True))


class TickBody(Schema):
    """A tick to come, or one of the past that is run."""

    scheduled_for = fields.AwareDateTime(required=True, metadata=told("In UTC.", A_TIME))
    local = fields.String(
        required=True,
        metadata=told("What clocks in the schedule's zone show.", "2026-03-29T03:00:00+02:00"),
    )
    note = fields.String(
        required=True,
        allow_none=True,
        metadata=told(
            "Set when clocks are changed; begins with `gap` or `fold`.",
            "gap: 02:30:00 does not exist on this day; right after the gap",
        ),
    )


class BackfillOutcome(Schema):
    """What a backfill does."""

    dry_run = fields.Boolean(required=True, metadata=told("Whether nothing was submitted."))
    count = fields.Integer(
        required=True, metadata=told(f"How many ticks; {MOST_AT_ONCE} at most.", 1)
    )
    items = fields.List(fields.Nested(TickBody), required=True, metadata=told("The ticks."))


class BackfillBody(ScheduleBody):
    """A schedule, and which of its ticks of the past were run."""

    backfill = fields.Nested(
        BackfillOutcome, required=True, metadata=told("The ticks that had not fired.")
    )


class UpcomingQuestion(Schema):
    """How far to look ahead."""

    count = WrittenWhole(
        load_default=UPCOMING,
        validate=Range(min=1, max=MOST_UPCOMING),
        metadata=told("How many ticks to show."),
    )


class TickList(Schema):
    """Ticks to come, the next one first."""

    items = fields.List(fields.Nested(TickBody), required=True, metadata=told("The ticks."))


class FireBody(Schema):
    """What became of one tick."""

    scheduled_for = fields.AwareDateTime(required=True, metadata=told("The tick.", A_TIME))
    fired_at = fields.AwareDateTime(required=True, metadata=told("When it was decided.", A_TIME))
    outcome = fields.Enum(
        FireOutcome, by_value=True, required=True, metadata=told("What became of it.", "fired")
    )
    reason = fields.String(
        required=True,
        allow_none=True,
        metadata=told("Why it was skipped or waits, or who asked for it."),
    )
    task_id = fields.UUID(
        required=True, allow_none=True, metadata=told("Its task, if it fired.", AN_ID)
    )


class FireList(Schema):
    """What became of ticks, the latest first."""

    items = fields.List(fields.Nested(FireBody), required=True, metadata=told("The ticks."))
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata=told("Where the next page begins; null on the last."),
    )


class FireQuestion(Schema):
    """Which page of ticks."""

    limit = WrittenWhole(
        load_default=PAGE,
        validate=Range(min=1, max=LONGEST_PAGE),
        metadata=told("Ticks in a page."),
    )
    cursor = fields.String(
        validate=Length(max=200), metadata=told("The `next_cursor` of the page before.")
    )
