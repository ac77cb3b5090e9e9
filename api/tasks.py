"""Tasks: submitted, looked at, cancelled and run again."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from flask import Response

from api import bodies, queries, quotas, submissions, wire
from api.auth import client, grant, hide_other_queues, refuse_other_queues, requires
from api.contract import Blueprint
from api.examples import A_BATCH, A_PAGE, A_TASK, ATTEMPTS, HISTORY, IDS, SUBMISSIONS
from api.paging import item_before
from api.schemas import (
    AttemptList,
    BatchAnswer,
    MoveList,
    TaskBody,
    TaskFilter,
    TaskPage,
    TaskQuestion,
)
from api.waiting import patient_look
from tasks import actions, catalog, idempotency, search, store
from tasks.actions import Once, Submission
from tasks.database import sessions
from tasks.errors import (
    IdempotencyKeyReused,
    InvalidBatch,
    InvalidCursor,
    InvalidTask,
    MoveRefused,
    TaskGone,
    TaskNotFound,
    TooManyTasks,
    UnknownKind,
)
from tasks.history import Event, history
from tasks.keys import Scope
from tasks.lifecycle import Priority, Status
from tasks.models import Attempt, Task
from tasks.search import Filter, Page

PATH = "/api/v1/tasks"  # where a task is found; made by hand, because url_for is slow

blueprint = Blueprint("tasks", __name__, url_prefix="/tasks", description=__doc__)

REFUSALS = (IdempotencyKeyReused, queries.InvalidHeader, TooManyTasks)
REPLAYED = {"Idempotency-Replayed": "`true`: this key was seen before; nothing new was stored."}
LOCATION = {"Location": "Where the task can be looked at."}
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "Makes the request safe to repeat: within 24 hours the same key with the same body stores "
        "nothing new and gets the first answer again."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


@blueprint.route("/", methods=["POST"])
@requires(Scope.TASKS_SUBMIT)
@blueprint.takes("Submission", submissions.read, examples=SUBMISSIONS)
@blueprint.answers(201, TaskBody, write=bodies.task, example=A_TASK, headers=LOCATION)
@blueprint.may_answer(
    200, TaskBody, example=A_TASK, description="A repeated request.", headers=REPLAYED
)
@blueprint.raises(UnknownKind, InvalidTask, TaskGone, *REFUSALS)
@blueprint.says(parameters=[KEY])
def submit(submission: Submission) -> Response:
    """Submit a task.

    It is stored when the answer comes. Whether Redis can be reached does not matter to that.
    """
    refuse_other_queues(*queues_of([submission]))
    quotas.charge_for([submission])
    once = asked_once([submission])
    if once is None:
        return accepted(actions.submit(submission, client()))
    submitted = actions.submit_once([submission], once, client())
    with sessions.begin() as session:
        task = idempotency.first_answer(session, submitted.ids[0])
    return replayed(bodies.task(task)) if submitted.replayed else accepted(task)


@blueprint.route("/batch", methods=["POST"])
@requires(Scope.TASKS_SUBMIT)
@blueprint.takes("Batch", submissions.read_batch, examples=A_BATCH)
@blueprint.answers(201, BatchAnswer, write=bodies.ids, example=IDS)
@blueprint.may_answer(
    200, BatchAnswer, example=IDS, description="A repeated request.", headers=REPLAYED
)
@blueprint.raises(InvalidBatch, InvalidTask, *REFUSALS)
@blueprint.says(parameters=[KEY])
def submit_many(batch: Sequence[Submission]) -> list[UUID] | Response:
    """Submit up to 1,000 tasks, all or none.

    The ids are in the order of the tasks. If one task is wrong, none is stored, and each wrong one
    is named by its index, from 0.
    """
    refuse_other_queues(*queues_of(batch))
    quotas.charge_for(batch)
    once = asked_once(batch)
    if once is None:
        return actions.submit_many(batch, client())
    submitted = actions.submit_once(batch, once, client())
    return replayed(bodies.ids(submitted.ids)) if submitted.replayed else submitted.ids


@blueprint.route("/", methods=["GET"])
@requires(Scope.TASKS_READ)
@blueprint.asks(TaskFilter)
@blueprint.answers(200, TaskPage, write=bodies.page, example=A_PAGE)
@blueprint.raises(InvalidCursor)
def browse(asked: dict[str, Any]) -> Page:
    """List tasks, newest first.

    Each page tells where the next one begins, so tasks that arrive meanwhile shift nothing. Few
    tasks, or none, and a `next_cursor` mean that a search by label has not come to its end.
    """
    limit, after = asked.pop("limit"), item_before(asked.pop("cursor", None))
    with sessions.begin() as session:
        return search.page(session, filter_of(asked), limit, after)


@blueprint.route("/<uuid:task_id>", methods=["GET"])
@requires(Scope.TASKS_READ)
@blueprint.asks(TaskQuestion)
@blueprint.answers(200, TaskBody, write=bodies.task, example=A_TASK)
@blueprint.raises(TaskNotFound)
def show(asked: dict[str, Any], task_id: UUID) -> Task:
    """Look at a task, perhaps when it is finished.

    With `wait` the answer comes as soon as the task is finished, or as it is when the seconds are
    up. When very many wait it may come earlier.
    """
    hide_if_bound(task_id)  # before the wait, which would tell that it exists
    return patient_look(task_id, asked.get("wait", 0))


@blueprint.route("/<uuid:task_id>/attempts", methods=["GET"])
@requires(Scope.TASKS_READ)
@blueprint.answers(200, AttemptList, write=bodies.attempts, example=ATTEMPTS)
@blueprint.raises(TaskNotFound)
def list_attempts(task_id: UUID) -> Sequence[Attempt]:
    """List the executions of a task, the one under way included."""
    hide_if_bound(task_id)
    with sessions.begin() as session:
        return search.attempts(session, task_id)


@blueprint.route("/<uuid:task_id>/history", methods=["GET"])
@requires(Scope.TASKS_READ)
@blueprint.answers(200, MoveList, write=bodies.history, example=HISTORY)
@blueprint.raises(TaskNotFound)
def tell_history(task_id: UUID) -> Sequence[Event]:
    """Tell every move of a task's life."""
    hide_if_bound(task_id)
    with sessions.begin() as session:
        return history(session, task_id)


@blueprint.route("/<uuid:task_id>/cancel", methods=["POST"])
@requires(Scope.TASKS_MANAGE)
@blueprint.answers(200, TaskBody, write=bodies.task, example=A_TASK)
@blueprint.raises(TaskNotFound, MoveRefused)
def cancel(task_id: UUID) -> Task:
    """Cancel a task that has not finished.

    A running handler is stopped within a second.
    """
    hide_if_bound(task_id)
    return actions.cancel(task_id, client())


@blueprint.route("/<uuid:task_id>/rerun", methods=["POST"])
@requires(Scope.TASKS_MANAGE)
@blueprint.answers(200, TaskBody, write=bodies.task, example=A_TASK)
@blueprint.raises(TaskNotFound, MoveRefused, TooManyTasks)
def rerun(task_id: UUID) -> Task:
    """Run a failed or cancelled task again.

    It is pending at once, with a fresh allowance of retries. Its attempts go on counting. To the
    limits of the key and of the queue it counts as a submission.
    """
    hide_if_bound(task_id)
    quotas.charge(1, lambda: [queue_of(task_id)])
    return actions.rerun(task_id, client())


def accepted(task: Task) -> Response:
    return wire.Answer(bodies.task(task), 201, [("Location", f"{PATH}/{task.id}")])


def replayed(body: dict[str, Any]) -> Response:
    return wire.Answer(body, 200, [("Idempotency-Replayed", "true")])


def asked_once(asked: Sequence[Submission]) -> Once | None:
    """The request's `Idempotency-Key`, with what it stands for."""
    key = queries.idempotency_key()
    return None if key is None else Once(key, submissions.fingerprint(asked))


def queues_of(asked: Sequence[Submission]) -> set[str]:
    """The queue names these would go to; of unknown kinds nothing is known yet."""
    if not grant().queue_names:
        return set()
    kinds = catalog.kinds()
    named = (each.queue_name or kinds[each.name].queue_name for each in asked if each.name in kinds)
    return set(named)


def filter_of(asked: dict[str, Any]) -> Filter:
    """The filter a client asked for, within the queue names its key is bound to."""
    status, priority, label = (asked.pop(name, None) for name in ("status", "priority", "label"))
    key, _, value = (label or "").partition(":")
    if "queue_name" in asked:
        refuse_other_queues(asked["queue_name"])
    return Filter(
        status=Status(status) if status else None,
        priority=Priority(priority) if priority else None,
        label=(key, value) if label else None,
        queue_names=grant().queue_names,
        **asked,
    )


def hide_if_bound(task_id: UUID) -> None:
    """Raise `TaskNotFound` if the key is bound to queue names and this task is in none of them."""
    if grant().queue_names:
        hide_other_queues(queue_of(task_id))


def queue_of(task_id: UUID) -> str:
    """The task's queue name, or `TaskNotFound`."""
    with sessions.begin() as session:
        return store.find(session, task_id).queue_name
