"""Schedules: made, looked at, changed, paused, run."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response
from marshmallow import Schema, ValidationError

from api import bodies, quotas, schedule_bodies, wire
from api.auth import client, grant, refuse_other_queues, requires
from api.contract import Blueprint
from api.crowds import is_crowded
from api.examples import A_TASK
from api.paging import item_before
from api.schedule_examples import (
    A_CHANGE,
    A_SCHEDULE,
    A_SCHEDULE_PAGE,
    BACKFILLED,
    BACKFILLS,
    FIRES,
    PAUSES,
    SCHEDULES,
    UPCOMING,
)
from api.schedule_schemas import (
    BackfillBody,
    BackfillRequest,
    FireList,
    FireQuestion,
    PauseRequest,
    ScheduleBody,
    ScheduleChange,
    ScheduleFilter,
    SchedulePage,
    ScheduleRequest,
    TickList,
    UpcomingQuestion,
)
from api.schemas import TaskBody
from tasks import catalog, recurrence, schedule_actions, schedules
from tasks.database import sessions
from tasks.errors import (
    InvalidCursor,
    InvalidSchedule,
    ScheduleNameTaken,
    ScheduleNotFound,
    TooManyTasks,
)
from tasks.keys import Scope
from tasks.models import Schedule
from tasks.recurrence import EPOCH, INSTANT
from tasks.schedule_actions import Backfill
from tasks.schedule_plan import Plan, TaskPlan
from tasks.schedules import FirePage, Page

PATH = "/api/v1/schedules"

blueprint = Blueprint("schedules", __name__, url_prefix="/schedules", description=__doc__)

MOST_FIELDS = 1000  # values in a body, its payload aside
LOCATION = {"Location": "Where the schedule can be looked at."}
DEFAULTS = {
    each.name: each.default
    for each in (*fields(Plan), *fields(TaskPlan))
    if each.default is not MISSING
} | {"payload": {}, "labels": {}}


def reading(schema: Schema) -> Callable[[Any], dict[str, Any]]:
    """What the schema makes of a body, or `InvalidSchedule` naming every wrong field."""

    def read(body: Any) -> dict[str, Any]:
        if is_crowded(without_payload(body), MOST_FIELDS):
            raise InvalidSchedule({"_schema": [f"More than {MOST_FIELDS} values."]})
        try:
            found: dict[str, Any] = schema.load(body)
        except ValidationError as error:
            raise InvalidSchedule(error.normalized_messages()) from None
        return found

    return read


def without_payload(body: Any) -> Any:
    """The body but for what its task is given, which has a limit of its own."""
    if isinstance(body, dict) and isinstance(task := body.get("task"), dict):
        return body | {"task": {key: each for key, each in task.items() if key != "payload"}}
    return body


def meant(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same, where `null` is what a field is if nobody gives it."""
    return {name: DEFAULTS.get(name) if value is None else value for name, value in given.items()}


@blueprint.route("/", methods=["POST"])
@requires(Scope.SCHEDULES_MANAGE)
@blueprint.takes(ScheduleRequest, reading(ScheduleRequest()), examples=SCHEDULES)
@blueprint.answers(201, ScheduleBody, example=A_SCHEDULE, headers=LOCATION)
@blueprint.raises(InvalidSchedule, ScheduleNameTaken)
def create(wanted: dict[str, Any]) -> Response:
    """Make a schedule.

    Its payload is checked now, and what the kind says of queue, priority, retries and timeout is
    kept. A schedule that can never fire is refused.
    """
    task = TaskPlan(**meant(wanted.pop("task")))
    refuse_other_queues(*queue_of(task))
    schedule = schedule_actions.create(Plan(**meant(wanted)), task, client())
    location = [("Location", f"{PATH}/{schedule.id}")]
    return wire.Answer(schedule_bodies.schedule(schedule), 201, location)


def queue_of(task: TaskPlan) -> list[str]:
    """The queue name it would go to; of an unknown kind nothing is known yet."""
    kind = catalog.kinds().get(task.name)
    name = task.queue_name or (kind and kind.queue_name)
    return [name] if name else []


@blueprint.route("/", methods=["GET"])
@requires(Scope.TASKS_READ)
@blueprint.asks(ScheduleFilter)
@blueprint.answers(200, SchedulePage, write=schedule_bodies.page, example=A_SCHEDULE_PAGE)
@blueprint.raises(InvalidCursor)
def browse(asked: dict[str, Any]) -> Page:
    """List schedules, newest first."""
    limit, after = asked.pop("limit"), item_before(asked.pop("cursor", None))
    with sessions.begin() as session:
        return schedules.page(session, limit, after, queue_names=grant().queue_names, **asked)


@blueprint.route("/<uuid:schedule_id>", methods=["GET"])
@requires(Scope.TASKS_READ)
@blueprint.answers(200, ScheduleBody, write=schedule_bodies.schedule, example=A_SCHEDULE)
@blueprint.raises(ScheduleNotFound)
def show(schedule_id: UUID) -> Schedule:
    """Look at a schedule."""
    return visible(schedule_id)


def visible(schedule_id: UUID) -> Schedule:
    """The schedule, or `ScheduleNotFound` if the key is bound to other queue names."""
    with sessions.begin() as session:
        schedule = schedules.find(session, schedule_id)
    if not grant().covers(schedule.queue_name):
        raise ScheduleNotFound()
    return schedule


@blueprint.route("/<uuid:schedule_id>", methods=["PATCH"])
@requires(Scope.SCHEDULES_MANAGE)
@blueprint.takes(ScheduleChange, reading(ScheduleChange()), examples=A_CHANGE)
@blueprint.answers(200, ScheduleBody, write=schedule_bodies.schedule, example=A_SCHEDULE)
@blueprint.raises(ScheduleNotFound, InvalidSchedule, ScheduleNameTaken)
def change(wanted: dict[str, Any], schedule_id: UUID) -> Schedule:
    """Change some fields of a schedule.

    With another rule it begins anew from now on: what the old rule missed is not caught up with.
    """
    visible(schedule_id)
    task = meant(wanted.pop("task", {}))
    if task.get("queue_name"):
        refuse_other_queues(task["queue_name"])
    elif grant().queue_names and task.keys() & {"name", "queue_name"}:
        with sessions.begin() as session:
            name = task.get("name", schedules.find(session, schedule_id).task_name)
        refuse_other_queues(*queue_of(TaskPlan(name=name)))
    return schedule_actions.change(schedule_id, meant(wanted), task, client())


@blueprint.route("/<uuid:schedule_id>", methods=["DELETE"])
@requires(Scope.SCHEDULES_MANAGE)
@blueprint.may_answer(204, None, description="It is gone.")
@blueprint.raises(ScheduleNotFound)
def remove(schedule_id: UUID) -> Response:
    """Delete a schedule and the history of its ticks.

    Tasks that it submitted stay.
    """
    visible(schedule_id)
    schedule_actions.remove(schedule_id, client())
    return Response(status=204)


@blueprint.route("/<uuid:schedule_id>/pause", methods=["POST"])
@requires(Scope.SCHEDULES_MANAGE)
@blueprint.takes(PauseRequest, reading(PauseRequest()), examples=PAUSES)
@blueprint.answers(200, ScheduleBody, write=schedule_bodies.schedule, example=A_SCHEDULE)
@blueprint.raises(ScheduleNotFound, InvalidSchedule)
def pause(wanted: dict[str, Any], schedule_id: UUID) -> Schedule:
    """Stop a schedule from firing until it is resumed.

    Tasks that it has submitted go on.
    """
    visible(schedule_id)
    return schedule_actions.pause(schedule_id, wanted["reason"], client())


@blueprint.route("/<uuid:schedule_id>/resume", methods=["POST"])
@requires(Scope.SCHEDULES_MANAGE)
@blueprint.answers(200, ScheduleBody, write=schedule_bodies.schedule, example=A_SCHEDULE)
@blueprint.raises(ScheduleNotFound)
def resume(schedule_id: UUID) -> Schedule:
    """Let a paused schedule fire again.

    It does so from now on: the ticks it slept through are not caught up with. `backfill` can.
    """
    visible(schedule_id)
    return schedule_actions.resume(schedule_id, client())


@blueprint.route("/<uuid:schedule_id>/run", methods=["POST"])
@requires(Scope.SCHEDULES_MANAGE)
@blueprint.answers(
    201, TaskBody, example=A_TASK, headers={"Location": "Where the task can be looked at."}
)
@blueprint.raises(ScheduleNotFound, TooManyTasks)
def run(schedule_id: UUID) -> Response:
    """Submit the schedule's task now.

    It does so when the schedule is paused, too, and whatever else of it is running. Its ticks are
    not moved. To the limits of the key and of the queue it counts as a submission.
    """
    queue_name = visible(schedule_id).queue_name
    quotas.charge(1, lambda: [queue_name])
    task = schedule_actions.run(schedule_id, client())
    return wire.Answer(bodies.task(task), 201, [("Location", f"/api/v1/tasks/{task.id}")])


@blueprint.route("/<uuid:schedule_id>/backfill", methods=["POST"])
@requires(Scope.SCHEDULES_MANAGE)
@blueprint.takes(BackfillRequest, reading(BackfillRequest()), examples=BACKFILLS)
@blueprint.answers(200, BackfillBody, write=schedule_bodies.backfill, example=BACKFILLED)
@blueprint.raises(ScheduleNotFound, InvalidSchedule, TooManyTasks)
def backfill(wanted: dict[str, Any], schedule_id: UUID) -> Backfill:
    """Run ticks of the past that have not fired.

    With `dry_run` it only says which. They run beside each other, whatever `overlap` says; each is
    submitted once, however often this is asked. To the limits of the key and of the queue each
    counts as a submission.
    """
    queue_name = visible(schedule_id).queue_name
    asked = (schedule_id, wanted["from_"], wanted["to"])
    planned = schedule_actions.backfill(*asked, True, client())
    if wanted["dry_run"] or not planned.ticks:
        return planned._replace(dry_run=wanted["dry_run"])
    quotas.charge(len(planned.ticks), lambda: [queue_name])
    return schedule_actions.backfill(*asked, False, client())


@blueprint.route("/<uuid:schedule_id>/upcoming", methods=["GET"])
@requires(Scope.TASKS_READ)
@blueprint.asks(UpcomingQuestion)
@blueprint.answers(200, TickList, example=UPCOMING)
@blueprint.raises(ScheduleNotFound)
def preview(asked: dict[str, Any], schedule_id: UUID) -> Response:
    """Look at the next ticks of a schedule, as they would come if it is not paused."""
    schedule = visible(schedule_id)
    with sessions.begin() as session:
        now = schedules.now(session)
    found = recurrence.upcoming(schedules.rule_of(schedule), now, asked["count"])
    return wire.Answer({"items": schedule_bodies.ticks(schedule, found)})


@blueprint.route("/<uuid:schedule_id>/fires", methods=["GET"])
@requires(Scope.TASKS_READ)
@blueprint.asks(FireQuestion)
@blueprint.answers(200, FireList, write=schedule_bodies.fires, example=FIRES)
@blueprint.raises(ScheduleNotFound, InvalidCursor)
def list_fires(asked: dict[str, Any], schedule_id: UUID) -> FirePage:
    """List what became of the ticks of a schedule, the latest first."""
    visible(schedule_id)
    before = moment_of(item_before(asked.get("cursor")))
    with sessions.begin() as session:
        return schedules.fires(session, schedule_id, asked["limit"], before)


def moment_of(cursor: UUID | None) -> datetime | None:
    """The tick that a cursor stands for, or `InvalidCursor`."""
    if cursor is None:
        return None
    try:
        return EPOCH + cursor.int * INSTANT
    except OverflowError:
        raise InvalidCursor() from None
