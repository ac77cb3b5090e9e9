"""A tick is one row, and its task exists if and only if it does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from scheduler.fire_schedules import fire_schedules
from scheduler.pause_failing import pause_failing
from scheduler.release_waiting import release_waiting
from tasks import agenda, firing, schedule_actions, schedules
from tasks.broker import Broker
from tasks.lifecycle import Status
from tasks.models import ScheduleFire, Task
from tasks.policies import FireOutcome, Missed, Overlap
from tests.rows import ago
from tests.schedule_rows import a_schedule, fires_of, outcomes_of, reread, tasks_of

pytestmark = pytest.mark.usefixtures("sessions")

FIRED, WAITING = FireOutcome.FIRED, FireOutcome.WAITING


def test_a_tick_becomes_a_task_with_what_the_schedule_says(broker: Broker) -> None:
    schedule = a_schedule(
        payload={"message": "good morning", "big": 2**70},
        queue_name="mail",
        priority="high",
        labels={"customer": "acme"},
        max_retries=7,
        timeout=12.5,
    )

    assert fire_schedules() == 1

    (task,) = tasks_of(schedule.id)
    (fire,) = fires_of(schedule.id)
    assert task.status is Status.PENDING
    assert task.scheduled_for == fire.scheduled_for == schedule.next_fire_at
    assert (fire.outcome, fire.task_id, fire.reason) == (FIRED, task.id, None)
    assert (task.name, task.payload) == ("example_task", schedule.payload)
    assert (task.queue_name, task.priority, task.labels) == ("mail", "high", {"customer": "acme"})
    assert (task.max_retries, task.timeout) == (7, 12.5)
    assert broker.head("mail:high", 2) == [str(task.id)]


def test_it_advances_to_the_next_tick() -> None:
    schedule = a_schedule()

    fire_schedules()

    after = reread(schedule)
    assert after.decided_until == schedule.next_fire_at
    assert after.next_fire_at == schedule.next_fire_at + timedelta(minutes=1)
    assert after.last_fire_at is not None
    assert after.updated_at == schedule.updated_at
    assert fire_schedules() == 0


def test_nothing_fires_before_its_time_or_while_paused() -> None:
    early = a_schedule(due=False, cron="0 0 1 1 *")
    paused = a_schedule(paused=True)

    assert fire_schedules() == 0

    assert tasks_of(early.id) == tasks_of(paused.id) == []


def test_a_single_time_fires_once_and_is_done() -> None:
    schedule = a_schedule(at=ago(seconds=5), decided_until=ago(seconds=60))

    fire_schedules()

    assert outcomes_of(schedule.id) == [FIRED]
    assert reread(schedule).next_fire_at is None


def test_many_schedulers_at_once_fire_each_tick_once() -> None:
    many = [a_schedule(every=1.0, decided_until=ago(seconds=10)) for _ in range(60)]

    def keep_firing(_: int) -> int:
        return sum(fire_schedules() for _ in range(15))

    with ThreadPoolExecutor(4) as schedulers:  # as many as there are connections
        list(schedulers.map(keep_firing, range(4)))

    for schedule in many:
        ticks = [task.scheduled_for for task in tasks_of(schedule.id)]
        assert ticks == [fire.scheduled_for for fire in fires_of(schedule.id)]
        assert {later - earlier for earlier, later in pairwise(ticks)} == {timedelta(seconds=1)}
        assert len(ticks) >= 9


def test_a_transaction_that_fails_leaves_neither_tick_nor_task(session) -> None:
    schedule = a_schedule()

    firing.fire_due(session)
    session.rollback()

    assert fires_of(schedule.id) == tasks_of(schedule.id) == []
    assert reread(schedule).next_fire_at == schedule.next_fire_at
    assert fire_schedules() == 1


def test_a_tick_that_is_already_decided_does_not_fire_again(session) -> None:
    schedule = a_schedule()
    tick = schedule.next_fire_at
    session.execute(
        text("INSERT INTO schedule_fires VALUES (:id, :at, now(), 'skipped_missed', 'x', NULL)"),
        {"id": schedule.id, "at": tick},
    )
    session.commit()

    fire_schedules()

    assert tasks_of(schedule.id) == []
    assert reread(schedule).next_fire_at > tick


def test_a_schedule_that_another_scheduler_holds_is_left_to_it(session) -> None:
    held, free = a_schedule(), a_schedule()
    schedules.find(session, held.id, to_change=True)

    assert fire_schedules() == 1

    assert tasks_of(held.id) == []
    assert len(tasks_of(free.id)) == 1


@pytest.mark.parametrize("broken", [{"cron": "nonsense"}, {"timezone": "Atlantis/Capital"}])
def test_a_schedule_that_nobody_can_read_stops_no_other(broken: dict[str, str]) -> None:
    unreadable = a_schedule(**broken, next_fire_at=ago(seconds=9))
    other = a_schedule()

    fire_schedules()

    assert len(tasks_of(other.id)) == 1
    after = reread(unreadable)
    assert after.paused
    assert after.pause_reason.startswith("cannot tell when it fires: ")
    assert fire_schedules() == 0


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        (Missed.RUN_ALL, {FIRED: 10}),
        (Missed.RUN_ONCE, {FireOutcome.SKIPPED_MISSED: 9, FIRED: 1}),
        (Missed.SKIP, {FireOutcome.SKIPPED_MISSED: 10}),
    ],
)
def test_after_an_outage_the_missed_policy_decides(missed: Missed, expected: dict) -> None:
    schedule = a_schedule(
        every=600.0, missed=missed, decided_until=ago(minutes=120), ends_at=ago(minutes=20)
    )

    fire_schedules()

    outcomes = outcomes_of(schedule.id)
    assert {outcome: outcomes.count(outcome) for outcome in set(outcomes)} == expected
    assert len(tasks_of(schedule.id)) == expected.get(FIRED, 0)


def test_very_many_missed_ticks_are_decided_in_several_rounds() -> None:
    schedule = a_schedule(every=1.0, decided_until=ago(seconds=5000), ends_at=ago(seconds=20))
    other = a_schedule(every=3600.0, decided_until=ago(hours=1), ends_at=ago())

    rounds = [fire_schedules() for _ in range(4)]

    assert rounds[0] == firing.SCHEDULES  # there was more to do
    assert len(tasks_of(schedule.id)) == 4980
    assert len(tasks_of(other.id)) == 1


class TestOverlap:
    def test_a_tick_is_skipped_while_the_earlier_task_is_unfinished(self, a_task) -> None:
        schedule = a_schedule(overlap=Overlap.SKIP)
        task = a_task(Status.RUNNING, schedule_id=schedule.id, scheduled_for=ago(minutes=5))

        fire_schedules()

        (fire,) = fires_of(schedule.id)
        assert fire.outcome is FireOutcome.SKIPPED_OVERLAP
        assert fire.reason == f"task {task.id} has not finished"

    @pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
    def test_a_finished_task_is_in_nobodys_way(self, a_task, status: Status) -> None:
        schedule = a_schedule(overlap=Overlap.SKIP)
        a_task(status, schedule_id=schedule.id, scheduled_for=ago(minutes=5))

        fire_schedules()

        assert outcomes_of(schedule.id) == [FIRED]

    def test_one_tick_waits_and_runs_when_the_earlier_task_is_finished(
        self, a_task, session
    ) -> None:
        schedule = a_schedule(every=20.0, overlap=Overlap.QUEUE_ONE)
        task = a_task(Status.RUNNING, schedule_id=schedule.id, scheduled_for=ago(minutes=5))
        fire_schedules()
        assert outcomes_of(schedule.id)[0] is WAITING
        assert set(outcomes_of(schedule.id)[1:]) == {FireOutcome.SKIPPED_OVERLAP}
        assert release_waiting() == 0

        session.execute(
            text("UPDATE tasks SET status = 'failed', finished_at = now() WHERE id = :id"),
            {"id": task.id},
        )
        session.commit()

        assert release_waiting() == 1
        assert release_waiting() == 0
        fire = fires_of(schedule.id)[0]
        assert fire.outcome is FIRED
        assert tasks_of(schedule.id)[-1].id == fire.task_id

    def test_a_waiting_tick_is_released_once_by_many_schedulers(self) -> None:
        many = [a_schedule(overlap=Overlap.QUEUE_ONE, due=False) for _ in range(30)]
        with_a_tick_that_waits(*(schedule.id for schedule in many))

        with ThreadPoolExecutor(4) as schedulers:
            released = list(schedulers.map(lambda _: release_waiting(), range(12)))

        assert sum(released) == 30
        assert all(len(tasks_of(schedule.id)) == 1 for schedule in many)

    def test_a_paused_schedule_keeps_its_tick_waiting(self) -> None:
        schedule = a_schedule(overlap=Overlap.QUEUE_ONE, paused=True)
        with_a_tick_that_waits(schedule.id)

        assert release_waiting() == 0

        schedule_actions.resume(schedule.id)
        assert release_waiting() == 1

    def test_the_next_tick_may_cancel_the_earlier_task(self, a_task, session) -> None:
        schedule = a_schedule(every=20.0, overlap=Overlap.CANCEL_RUNNING)
        running = a_task(Status.RUNNING, schedule_id=schedule.id, scheduled_for=ago(minutes=5))
        finished = a_task(Status.SUCCEEDED, schedule_id=schedule.id, scheduled_for=ago(minutes=9))

        fire_schedules()

        statuses = {task.id: task.status for task in tasks_of(schedule.id)}
        assert statuses.pop(running.id) is Status.CANCELLED
        assert statuses.pop(finished.id) is Status.SUCCEEDED
        assert list(statuses.values()) == [Status.PENDING]
        assert outcomes_of(schedule.id)[-1] is FIRED


def with_a_tick_that_waits(*ids: UUID) -> None:
    from tasks.database import sessions

    with sessions.begin() as session:
        for id in ids:
            session.add(
                ScheduleFire(
                    schedule_id=id, scheduled_for=ago(minutes=1), outcome=WAITING, reason="busy"
                )
            )


class TestPausingAfterFailures:
    def test_it_is_paused_after_so_many_in_a_row(self, a_task) -> None:
        schedule = a_schedule(pause_after_failures=2)
        for minutes, status in ((9, Status.SUCCEEDED), (8, Status.FAILED), (7, Status.FAILED)):
            a_task(status, schedule_id=schedule.id, scheduled_for=ago(minutes=minutes))

        fire_schedules()

        after = reread(schedule)
        assert (after.paused, after.pause_reason) == (True, "its last 2 tasks failed")
        assert after.next_fire_at is None
        assert len(tasks_of(schedule.id)) == 3

    def test_it_is_paused_without_waiting_for_its_next_tick(self, a_task) -> None:
        schedule = a_schedule(due=False, pause_after_failures=1, cron="@yearly")
        a_task(Status.FAILED, schedule_id=schedule.id, scheduled_for=ago(minutes=9))

        assert pause_failing() == 1
        assert pause_failing() == 0
        assert reread(schedule).pause_reason == "its last task failed"

    @pytest.mark.parametrize(
        "statuses",
        [
            [Status.FAILED],
            [Status.FAILED, Status.SUCCEEDED, Status.FAILED],
            [Status.FAILED, Status.FAILED, Status.SUCCEEDED],
        ],
    )
    def test_other_sequences_do_not_count(self, a_task, statuses: list[Status]) -> None:
        schedule = a_schedule(pause_after_failures=2)
        for number, status in enumerate(statuses):
            a_task(status, schedule_id=schedule.id, scheduled_for=ago(minutes=9 - number))

        fire_schedules()

        assert not reread(schedule).paused

    def test_failures_before_it_was_resumed_do_not_count(self, a_task) -> None:
        schedule = a_schedule(pause_after_failures=1, paused=True)
        a_task(Status.FAILED, schedule_id=schedule.id, scheduled_for=ago(minutes=9))

        schedule_actions.resume(schedule.id)

        assert pause_failing() == 0


def test_the_agenda_tells_how_long_nothing_is_due(session) -> None:
    assert "fire_schedules" not in agenda.look(session).due
    a_schedule(due=False, next_fire_at=ago(seconds=-30))
    a_schedule(due=False, next_fire_at=ago(seconds=-90))
    a_schedule(paused=True)

    session.rollback()
    assert agenda.look(session).due["fire_schedules"] == pytest.approx(30, abs=2)


def test_the_agenda_tells_whether_a_tick_waits(session) -> None:
    assert "release_waiting" not in agenda.look(session).due
    with_a_tick_that_waits(a_schedule(due=False).id)

    session.rollback()
    assert agenda.look(session).due["release_waiting"] == 0


def test_a_newer_zone_database_has_its_say(session) -> None:
    wrong = a_schedule(due=False, zone_version="1999a", next_fire_at=ago(days=-9))
    right = a_schedule(due=False, next_fire_at=ago(days=-9))

    assert schedules.recompute(session, 100) == 1
    session.commit()

    assert reread(wrong).next_fire_at < ago(minutes=-2)
    assert reread(right).next_fire_at > ago(days=-8)


def test_old_ticks_are_pruned_once_their_tasks_are_gone(session, a_task) -> None:
    schedule = a_schedule(due=False)
    task = a_task(Status.SUCCEEDED, schedule_id=schedule.id, scheduled_for=ago(days=50))
    for days, outcome, task_id in (
        (60, FireOutcome.SKIPPED_MISSED, None),
        (55, FIRED, UUID(int=1)),
        (50, FIRED, task.id),
        (1, FireOutcome.SKIPPED_MISSED, None),
    ):
        session.add(
            ScheduleFire(
                schedule_id=schedule.id,
                scheduled_for=ago(days=days),
                fired_at=ago(days=days),
                outcome=outcome,
                task_id=task_id,
            )
        )
    session.commit()

    assert schedules.prune_fires(session, timedelta(days=30), limit=10) == 2
    assert session.scalar(select(func.count()).select_from(ScheduleFire)) == 2


def test_thousands_due_at_once_are_pending_within_seconds(session) -> None:
    first = a_schedule(due=False)
    session.execute(
        text("""
            INSERT INTO schedules SELECT (jsonb_populate_record(s, jsonb_build_object(
                'id', gen_random_uuid(), 'name', 'copy ' || n,
                'decided_until', date_trunc('minute', now()) - interval '30 seconds',
                'next_fire_at', date_trunc('minute', now())))).*
            FROM schedules AS s, generate_series(1, 3000) AS n WHERE s.id = :id
        """),
        {"id": first.id},
    )
    session.commit()
    began = session.scalar(select(func.clock_timestamp()))
    session.rollback()

    while fire_schedules():
        pass

    elapsed = session.scalar(select(func.clock_timestamp())) - began
    pending = select(func.count()).where(Task.schedule_id.is_not(None), Task.status == "pending")
    assert session.scalar(pending) >= 3000
    assert elapsed < timedelta(seconds=5)  # benchmarks/schedules.py has ten thousand
