"""One statement checks and changes, so of two rivals exactly one wins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from tasks import search, store
from tasks.errors import MoveRefused, TaskNotFound
from tasks.lifecycle import Move, Outcome, Status
from tasks.models import Attempt, AuditEntry, Task
from tasks.store import Holder, Settlement
from tests.rows import ERROR, ago

KINDS = ["example_task"]


def a_row(**columns: object) -> dict[str, object]:
    return {
        "id": uuid7(),
        "name": "example_task",
        "payload": "{}",
        "queue_name": "default",
        "priority": "normal",
        "timeout": 60.0,
        "max_retries": 3,
        "labels": "{}",
    } | columns


def word(task: Task, move: Move, outcome: Outcome, **more: object) -> Settlement:
    holder = Holder(task.attempt, task.worker_id or "")
    return Settlement(str(task.id), holder, move, outcome, **more)


class TestInserting:
    def test_a_task_without_a_time_is_pending_at_once(self, session):
        row = a_row()

        stored = store.insert_tasks(session, [row])[row["id"]]

        assert stored.status == Status.PENDING
        assert stored.pending_since == stored.created_at
        assert stored.run_at is None

    @pytest.mark.parametrize("later", [{"delay": 60.0}, {"run_at": ago(hours=-1)}])
    def test_a_task_whose_time_is_to_come_is_scheduled(self, session, later):
        row = a_row(**later)

        stored = store.insert_tasks(session, [row])[row["id"]]

        assert stored.status == Status.SCHEDULED
        assert stored.run_at > stored.created_at
        assert stored.pending_since is None

    @pytest.mark.parametrize("past", [{"delay": 0.0}, {"run_at": ago(hours=1)}])
    def test_a_task_whose_time_has_passed_is_pending(self, session, past):
        row = a_row(**past)

        assert store.insert_tasks(session, [row])[row["id"]].status == Status.PENDING

    def test_rows_of_a_batch_may_differ_in_every_column(self, session):
        first = a_row(payload='{"a": [1, "é", null]}', labels='{"team": "a"}', request_id="r-1")
        second = a_row(
            delay=5.0, expires_at=ago(hours=-2), schedule_id=uuid4(), scheduled_for=ago()
        )

        store.insert_tasks(session, [first, second])

        one, two = (store.find(session, row["id"]) for row in (first, second))
        assert (one.payload, one.labels) == ({"a": [1, "é", None]}, {"team": "a"})
        assert (one.request_id, one.schedule_id, one.expires_at) == ("r-1", None, None)
        assert (two.payload, two.labels, two.request_id) == ({}, {}, None)
        assert (two.schedule_id, two.scheduled_for) == (
            second["schedule_id"],
            second["scheduled_for"],
        )


class TestAdvancing:
    def test_a_task_that_does_not_exist_is_not_found(self, session):
        with pytest.raises(TaskNotFound):
            store.advance(session, uuid4(), Move.CANCEL)

    def test_a_worker_presumed_dead_cannot_finish_its_successors_attempt(self, session, a_task):
        task = a_task(Status.RUNNING, attempt=2)

        for stale in (Holder(1, task.worker_id), Holder(2, "worker-2")):
            with pytest.raises(MoveRefused):
                store.advance(session, task.id, Move.SUCCEED, holder=stale)
        moved, _ = store.advance(session, task.id, Move.SUCCEED, holder=Holder(2, task.worker_id))

        assert moved.status is Status.SUCCEEDED

    def test_a_cancelled_attempt_is_on_record(self, session, a_task):
        task = a_task(Status.RUNNING, attempt=2)

        store.advance(session, task.id, Move.CANCEL)

        last = search.attempts(session, task.id)[-1]
        assert (last.number, last.outcome, last.move) == (2, Outcome.CANCELLED, "cancel")
        assert (last.worker_id, last.started_at) == (task.worker_id, task.started_at)

    def test_cancelling_what_does_not_run_makes_no_attempt(self, session, a_task):
        task = a_task(Status.PENDING)

        store.advance(session, task.id, Move.CANCEL)

        assert search.attempts(session, task.id) == []

    def test_a_rerun_gets_a_fresh_allowance_but_keeps_counting_attempts(self, session, a_task):
        task = a_task(Status.FAILED, attempt=4, failures=4, crashes=2)

        moved, _ = store.advance(session, task.id, Move.RERUN)

        assert (moved.failures, moved.crashes, moved.attempt) == (0, 0, 4)
        assert (moved.finished_at, moved.progress) == (None, None)
        assert moved.pending_since > task.pending_since

    def test_a_rerun_of_a_task_that_expired_does_not_expire_again(self, session, a_task):
        task = a_task(Status.CANCELLED, expires_at=ago(minutes=1))

        moved, _ = store.advance(session, task.id, Move.RERUN)

        assert moved.expires_at is None

    def test_a_rerun_in_time_keeps_its_limit(self, session, a_task):
        task = a_task(Status.FAILED, expires_at=ago(minutes=-5))

        moved, _ = store.advance(session, task.id, Move.RERUN)

        assert moved.expires_at == task.expires_at

    def test_of_many_rivals_exactly_one_wins(self, sessions, a_task):
        task = a_task(Status.PENDING)

        def cancel(_: int) -> bool:
            try:
                with sessions.begin() as session:
                    store.advance(session, task.id, Move.CANCEL)
            except MoveRefused:
                return False
            return True

        with ThreadPoolExecutor(4) as rivals:
            assert sorted(rivals.map(cancel, range(8))) == [False] * 7 + [True]


class TestSweeping:
    def test_due_tasks_become_pending_in_the_order_of_their_times(self, session, a_task):
        last, first = (a_task(Status.SCHEDULED, run_at=ago(seconds=s)) for s in (1, 9))
        later = a_task(Status.SCHEDULED, run_at=ago(seconds=-5))

        assert [each.id for each in store.dispatch_due(session, 1)] == [str(first.id)]
        assert [each.id for each in store.dispatch_due(session, 10)] == [str(last.id)]

        moved = store.find(session, first.id)
        assert (moved.status, moved.run_at) == (Status.PENDING, None)
        assert moved.pending_since is not None
        assert store.find(session, later.id).status is Status.SCHEDULED

    def test_rows_that_another_scheduler_holds_are_left_to_it(self, sessions, a_task):
        mine, yours = (a_task(Status.SCHEDULED, run_at=ago(seconds=s)) for s in (2, 1))
        with sessions.begin() as one, sessions.begin() as other:
            assert [each.id for each in store.dispatch_due(one, 1)] == [str(mine.id)]
            assert [each.id for each in store.dispatch_due(other, 9)] == [str(yours.id)]

    @pytest.mark.parametrize("status", [Status.SCHEDULED, Status.PENDING])
    def test_an_expired_task_is_cancelled_and_the_audit_says_from_where(
        self, session, a_task, status
    ):
        late = a_task(status, expires_at=ago(seconds=1))
        in_time = a_task(status, expires_at=ago(seconds=-60))
        running = a_task(Status.RUNNING, expires_at=ago(seconds=1))

        assert [each.id for each in store.expire(session, 10)] == [str(late.id)]

        assert store.find(session, late.id).status is Status.CANCELLED
        assert store.find(session, in_time.id).status is status
        assert store.find(session, running.id).status is Status.RUNNING
        entry = session.scalars(select(AuditEntry)).one()
        assert (entry.principal, entry.action, entry.subject, entry.from_status) == (
            "clock",
            "task.expire",
            str(late.id),
            status,
        )


class TestStarting:
    def test_pending_tasks_are_claimed_with_the_next_number(self, session, a_task, a_worker):
        a_worker("w")
        fresh, again = a_task(), a_task(attempt=2)

        started = store.start_many(session, [str(fresh.id), str(again.id)], "w", KINDS)

        assert {each.id: each.attempt for each in started} == {str(fresh.id): 1, str(again.id): 3}
        task = store.find(session, again.id)
        assert (task.status, task.attempt, task.worker_id) == (Status.RUNNING, 3, "w")
        assert task.started_at > again.pending_since

    def test_a_started_task_carries_what_a_horse_needs(self, session, a_task, a_worker):
        a_worker("w")
        task = a_task(
            payload={"b": 1}, queue_name="q", priority="high", timeout=7.5, max_retries=5,
            attempt=2, failures=1, crashes=1, request_id="r-9",
        )  # fmt: skip

        started = store.start_many(session, [str(task.id)], "w", KINDS)

        assert started == [
            store.Started(
                str(task.id), "example_task", '{"b": 1}', "q", "high", 3, 7.5, 5, 1, 1, "r-9"
            )
        ]

    @pytest.mark.parametrize("status", sorted(set(Status) - {Status.PENDING}))
    def test_only_pending_tasks_can_be_claimed(self, session, a_task, a_worker, status):
        a_worker("w")
        task = a_task(status)

        assert store.start_many(session, [str(task.id)], "w", KINDS) == []
        assert store.find(session, task.id).attempt == task.attempt

    def test_an_expired_task_is_not_claimed(self, session, a_task, a_worker):
        a_worker("w")
        task = a_task(expires_at=ago(seconds=1))

        assert store.start_many(session, [str(task.id)], "w", KINDS) == []

    def test_a_kind_unknown_to_the_worker_is_left_for_others(self, session, a_task, a_worker):
        a_worker("w")
        task = a_task(name="rare.kind")

        assert store.start_many(session, [str(task.id)], "w", KINDS) == []
        assert len(store.start_many(session, [str(task.id)], "w", [*KINDS, "rare.kind"])) == 1

    def test_a_worker_without_a_lease_claims_nothing(self, session, a_task, a_worker):
        a_worker("silent", lease=-1)
        task = a_task()

        for worker_id in ("silent", "never registered"):
            assert store.start_many(session, [str(task.id)], worker_id, KINDS) == []

    def test_a_claim_is_on_the_disk_before_a_handler_begins(self, session, a_task, a_worker):
        """A start that a crash of PostgreSQL undoes would be made again under the same number."""
        a_worker("w")
        store.start_many(session, [str(a_task().id)], "w", KINDS)

        assert session.scalar(text("SHOW synchronous_commit")) == "on"

    def test_a_doubled_job_is_claimed_once(self, sessions, a_task, a_worker):
        for name in ("w1", "w2", "w3", "w4"):
            a_worker(name)
        ids = [str(a_task().id) for _ in range(20)]

        def claim(worker_id: str) -> list[UUID]:
            with sessions.begin() as session:
                mine = ids if worker_id in ("w1", "w2") else ids[::-1]
                return [each.id for each in store.start_many(session, mine, worker_id, KINDS)]

        with ThreadPoolExecutor(4) as rivals:
            claimed = [id for ids in rivals.map(claim, ("w1", "w2", "w3", "w4")) for id in ids]
        assert sorted(map(str, claimed)) == sorted(ids)


class TestSettling:
    @pytest.mark.parametrize(
        ("move", "outcome", "more"),
        [
            (Move.SUCCEED, Outcome.SUCCEEDED, {"result": '{"n": 1}'}),
            (Move.SUCCEED, Outcome.SUCCEEDED, {"result": "null"}),
            (Move.RETRY, Outcome.FAILED, {"error": '{"type": "E"}', "wait": 30.0}),
            (Move.RETRY, Outcome.TIMED_OUT, {"error": '{"type": "E"}', "wait": 0.0}),
            (Move.RETRY, Outcome.CRASHED, {"error": '{"type": "E"}', "wait": 1.0}),
            (Move.FAIL, Outcome.FAILED, {"error": '{"type": "E"}'}),
            (Move.RELEASE, Outcome.RELEASED, {}),
            (Move.SNOOZE, Outcome.RELEASED, {"wait": 5.0}),
            (Move.RESCUE, Outcome.LOST, {"error": '{"type": "E"}', "wait": 2.0}),
            (Move.GIVE_UP, Outcome.LOST, {"error": '{"type": "E"}'}),
        ],
    )
    def test_an_attempt_ends_as_its_worker_says(self, session, a_task, move, outcome, more):
        task = a_task(Status.RUNNING, attempt=2, failures=1, crashes=1)

        settled = store.settle_many(session, [word(task, move, outcome, **more)])

        assert [(each.id, each.status) for each in settled] == [(str(task.id), move.target)]
        after = store.find(session, task.id)
        assert after.status is move.target
        assert (after.finished_at is not None) == (move.target in (Status.SUCCEEDED, Status.FAILED))
        assert after.failures == 1 + (outcome in (Outcome.FAILED, Outcome.TIMED_OUT))
        assert after.crashes == 1 + (outcome in (Outcome.CRASHED, Outcome.LOST))
        assert after.error == ({"type": "E"} if "error" in more else task.error)
        if "wait" in more:
            assert after.run_at - after.updated_at == timedelta(seconds=more["wait"])
        ended = search.attempts(session, task.id)[-1]
        assert (ended.number, ended.outcome, ended.move) == (2, outcome, move.name.lower())
        assert ended.error == after.error if "error" in more else ended.error is None

    def test_an_attempt_ends_when_it_is_settled_however_old_the_transaction(self, session, a_task):
        began = session.execute(select(func.now())).scalar_one()
        task = a_task(status=Status.RUNNING, started_at=began, pending_since=began)

        store.settle_many(session, [word(task, Move.SUCCEED, Outcome.SUCCEEDED)])

        ended_at = session.scalar(select(Attempt.ended_at).where(Attempt.task_id == task.id))
        took = session.scalar(
            text("SELECT sum(seconds) FROM tally_deltas WHERE from_status = 'running'")
        )
        assert ended_at > began
        assert store.find(session, task.id).finished_at == ended_at
        assert took == pytest.approx((ended_at - began).total_seconds())

    def test_an_attempt_ends_once(self, session, a_task):
        task = a_task(Status.RUNNING)
        end = word(task, Move.SUCCEED, Outcome.SUCCEEDED, result="1")

        assert len(store.settle_many(session, [end])) == 1
        assert store.settle_many(session, [end]) == []

        written = select(func.count()).select_from(Attempt).where(Attempt.task_id == task.id)
        assert session.scalar(written) == 1

    def test_a_stranger_ends_nothing_and_leaves_no_attempt(self, session, a_task):
        task = a_task(Status.RUNNING, attempt=2)
        strangers = [Holder(1, "worker-1"), Holder(3, "worker-1"), Holder(2, "worker-2")]

        settled = store.settle_many(
            session,
            [Settlement(str(task.id), each, Move.FAIL, Outcome.FAILED) for each in strangers],
        )

        assert settled == []
        assert store.find(session, task.id).status is Status.RUNNING
        assert [each.number for each in search.attempts(session, task.id)] == [1, 2]

    def test_a_set_may_end_in_every_way_at_once(self, session, a_task):
        good, bad, gone = (a_task(Status.RUNNING) for _ in range(3))
        store.advance(session, gone.id, Move.CANCEL)

        settled = store.settle_many(
            session,
            [
                word(good, Move.SUCCEED, Outcome.SUCCEEDED, result="[]"),
                word(bad, Move.RETRY, Outcome.FAILED, error="{}", wait=1.0),
                word(gone, Move.SUCCEED, Outcome.SUCCEEDED, result="[]"),
            ],
        )

        assert {each.id: each.status for each in settled} == {
            str(good.id): Status.SUCCEEDED,
            str(bad.id): Status.SCHEDULED,
        }
        assert store.find(session, gone.id).status is Status.CANCELLED

    def test_text_that_is_not_ascii_survives(self, session, a_task):
        task = a_task(Status.RUNNING)

        store.settle_many(
            session, [word(task, Move.SUCCEED, Outcome.SUCCEEDED, result='"naïve \\u00fc 漢\\\\"')]
        )

        assert store.find(session, task.id).result == "naïve ü 漢\\"


@pytest.mark.parametrize(
    "impossible",
    [
        {"status": Status.SUCCEEDED, "finished_at": None},
        {"status": Status.RUNNING, "worker_id": None},
        {"status": Status.RUNNING, "started_at": None},
        {"status": Status.SCHEDULED, "run_at": None},
        {"pending_since": None},
        {"status": "asleep"},
        {"priority": "urgent"},
        {"finished_at": ago()},
        {"result": ERROR},
        {"timeout": 0},
        {"attempt": -1},
        {"schedule_id": uuid4()},
    ],
    ids=" and ".join,
)
def test_the_schema_itself_refuses_the_impossible(a_task, impossible):
    with pytest.raises(IntegrityError):
        a_task(**({"status": Status.PENDING} | impossible))
