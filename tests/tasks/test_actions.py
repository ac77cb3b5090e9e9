"""What a client may ask, and what holds for a task whose client says little."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from marshmallow import Schema, fields
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tasks import actions, catalog, database, store
from tasks.actions import Client, Once, Submission, Terms
from tasks.errors import (
    IdempotencyKeyReused,
    InvalidBatch,
    InvalidTask,
    MoveRefused,
    UnknownKind,
)
from tasks.lifecycle import Priority, Status
from tasks.models import AuditEntry, Task
from tasks.retry import Backoff
from tests.rows import ago

ME = Client("key-1", "192.0.2.1")


class Letter(Schema):
    to = fields.String(required=True)
    copies = fields.Integer(load_default=1)


@pytest.fixture(autouse=True)
def _kinds(sessions):
    known = dict(catalog._kinds)
    retry = Backoff(max_retries=7)

    @catalog.handles("letter", Letter)
    def write(to: str, copies: int) -> None:
        """Write a letter."""

    @catalog.handles(
        "urgent", Letter, queue_name="q", priority="high", timeout=timedelta(seconds=9), retry=retry
    )
    def rush(to: str, copies: int) -> None:
        """Write it fast."""

    yield
    catalog._kinds.clear()
    catalog._kinds.update(known)
    actions.configure(Terms())


def a_letter(name: str = "letter", **terms) -> Submission:
    return Submission(name=name, payload={"to": "you"}, **terms)


def stored(sessions, task_id) -> Task:
    with sessions.begin() as session:
        return store.find(session, task_id)


def how_many(sessions) -> int:
    with sessions.begin() as session:
        return session.scalar(select(func.count()).select_from(Task))


class TestSubmitting:
    def test_the_answer_is_the_task_as_it_is_stored(self, sessions):
        for terms in (
            {},
            {"delay": 60.0},
            {"run_at": ago(hours=-1)},
            {"expires_at": ago(hours=-2)},
        ):
            answer = actions.submit(a_letter("urgent", labels={"a": "b"}, request_id="r", **terms))

            row = stored(sessions, answer.id)
            for column in Task.__table__.columns:
                assert getattr(answer, column.name) == getattr(row, column.name), column

    def test_the_service_decides_where_kind_and_client_are_silent(self, sessions):
        actions.configure(Terms(timeout=12.0, max_retries=1))

        task = stored(sessions, actions.submit(a_letter()).id)

        assert (task.queue_name, task.priority) == ("default", Priority.NORMAL)
        assert (task.timeout, task.max_retries) == (12.0, 1)

    def test_the_kind_decides_where_the_client_is_silent(self, sessions):
        task = stored(sessions, actions.submit(a_letter("urgent")).id)

        assert (task.queue_name, task.priority) == ("q", Priority.HIGH)
        assert (task.timeout, task.max_retries) == (9.0, 7)

    def test_the_client_has_the_last_word(self, sessions):
        wishes = {
            "queue_name": "z", "priority": Priority.LOW, "timeout": 1.5, "max_retries": 0,
        }  # fmt: skip

        task = stored(sessions, actions.submit(a_letter("urgent", **wishes)).id)

        assert {name: getattr(task, name) for name in wishes} == wishes

    def test_a_payload_is_stored_as_it_was_sent(self, sessions):
        payload = {"to": 'Ünïcødé \\ "quoted" {braces} %s', "copies": "3"}

        task = actions.submit(Submission(name="letter", payload=payload))

        assert stored(sessions, task.id).payload == payload

    @pytest.mark.parametrize("payload", [{}, {"to": 5}, {"to": "x", "what": 1}])
    def test_a_wrong_payload_is_refused_by_field(self, sessions, payload):
        with pytest.raises(InvalidTask) as refused:
            actions.submit(Submission(name="letter", payload=payload))

        assert set(refused.value.messages["payload"]) <= {"to", "what"}
        assert how_many(sessions) == 0

    def test_a_large_payload_is_refused(self, sessions):
        actions.configure(Terms(max_payload_bytes=100))

        with pytest.raises(InvalidTask, match="not valid"):
            actions.submit(Submission(name="letter", payload={"to": "x" * 100}))

    def test_an_unknown_kind_is_refused_with_the_known_ones(self):
        with pytest.raises(UnknownKind, match="letter"):
            actions.submit(Submission(name="lettre"))

    def test_in_a_transaction_of_the_callers_it_exists_if_that_commits(self, sessions, broker):
        with Session(database.engine()) as theirs:
            gone = actions.submit(a_letter(), session=theirs)
            theirs.rollback()
            kept = actions.submit(a_letter(), session=theirs)
            many = actions.submit_many([a_letter(), a_letter()], session=theirs)
            assert broker.length("default:normal") == 0
            theirs.commit()

        assert how_many(sessions) == 3
        assert broker.head("default:normal", 9) == [str(kept.id), *map(str, many)]
        assert str(gone.id) not in broker.head("default:normal", 9)

    def test_a_batch_is_stored_whole_and_in_order(self, sessions, broker):
        ids = actions.submit_many([a_letter(labels={"n": str(n)}) for n in range(1000)])

        assert how_many(sessions) == 1000
        assert [stored(sessions, id).labels for id in (ids[0], ids[999])] == [
            {"n": "0"},
            {"n": "999"},
        ]
        assert broker.head("default:normal", 1000) == [str(id) for id in ids]

    def test_a_batch_with_a_wrong_task_is_refused_whole_naming_each(self, sessions):
        batch = [a_letter(), Submission(name="letter"), a_letter("lettre"), a_letter()]

        with pytest.raises(InvalidBatch) as refused:
            actions.submit_many(batch)

        assert sorted(refused.value.messages) == [1, 2]
        assert how_many(sessions) == 0


class TestIdempotency:
    def test_a_repeated_request_gets_the_first_answer(self, sessions):
        once = Once("k", b"body")

        first = actions.submit_once([a_letter()], once, ME)
        again = actions.submit_once([a_letter()], once, ME)

        assert (first.replayed, again.replayed) == (False, True)
        assert first.ids == again.ids
        assert how_many(sessions) == 1

    def test_a_hundred_at_a_time_make_one_task(self, sessions):
        def post(_: int) -> actions.Submitted:
            return actions.submit_once([a_letter()], Once("k", b"body"), ME)

        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(post, range(100)))

        assert len({tuple(answer.ids) for answer in answers}) == 1
        assert [answer.replayed for answer in answers].count(False) == 1
        assert how_many(sessions) == 1

    def test_another_body_under_the_same_key_is_refused(self, sessions):
        actions.submit_once([a_letter()], Once("k", b"body"), ME)

        with pytest.raises(IdempotencyKeyReused):
            actions.submit_once([a_letter()], Once("k", b"another"), ME)
        assert how_many(sessions) == 1

    def test_keys_of_different_clients_do_not_meet(self, sessions):
        for client in (ME, Client("key-2"), Client()):
            assert not actions.submit_once([a_letter()], Once("k", b"body"), client).replayed

    def test_a_key_is_free_again_after_a_while(self, sessions):
        actions.configure(Terms(idempotency_key_hours=0))
        first = actions.submit_once([a_letter()], Once("k", b"body"), ME)

        again = actions.submit_once([a_letter()], Once("k", b"another"), ME)

        assert not again.replayed
        assert first.ids != again.ids

    def test_a_refused_request_does_not_use_up_its_key(self, sessions):
        with pytest.raises(InvalidBatch):
            actions.submit_once([Submission(name="letter")], Once("k", b"wrong"), ME)

        assert not actions.submit_once([a_letter()], Once("k", b"right"), ME).replayed


class TestAsking:
    @pytest.mark.parametrize(
        ("ask", "action", "status", "target"),
        [
            (actions.cancel, "task.cancel", Status.RUNNING, Status.CANCELLED),
            (actions.rerun, "task.rerun", Status.FAILED, Status.PENDING),
        ],
    )
    def test_an_act_is_audited_with_who_and_from_where(
        self, sessions, a_task, ask, action, status, target
    ):
        task = a_task(status)

        assert ask(task.id, ME).status is target

        with sessions.begin() as session:
            entry = session.scalars(select(AuditEntry)).one()
        assert (entry.principal, entry.address, entry.action) == (*ME, action)
        assert (entry.subject, entry.from_status) == (str(task.id), status)

    def test_what_is_refused_is_not_audited(self, sessions, a_task):
        task = a_task(Status.SUCCEEDED)

        for ask in (actions.cancel, actions.rerun):
            with pytest.raises(MoveRefused):
                ask(task.id, ME)

        with sessions.begin() as session:
            assert session.scalars(select(AuditEntry)).all() == []

    def test_a_rerun_task_is_in_its_queue_again(self, a_task, broker):
        task = a_task(Status.CANCELLED)

        actions.rerun(task.id)

        assert broker.head("default:normal", 9) == [str(task.id)]
