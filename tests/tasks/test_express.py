"""A hot statement is planned once, and committed with what goes along, or not at all."""

from __future__ import annotations

import re
from contextlib import closing, suppress
from datetime import datetime, timedelta, timezone

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2 import IntegrityError
from sqlalchemy import event, func, select, text

from tasks import audit, database, express, statements, store
from tasks.audit import Act
from tasks.errors import DatabaseUnavailable, Unstorable
from tasks.lifecycle import Move, Outcome, Status
from tasks.models import AuditEntry, Task
from tests.tasks.test_store import a_row


@pytest.fixture
def plans(sessions):
    """How the connection for hot statements would carry one out."""

    def explain(hot: express.Hot) -> str:
        with sessions.express("") as session, session._connection.cursor() as cursor:
            cursor.execute(hot.preparation)
            values = hot.parameters(dict.fromkeys(hot.parameters({}), None))
            cursor.execute("EXPLAIN " + hot.execution, values)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            cursor.execute(f"DEALLOCATE {hot.name}")
        return plan

    return explain


def test_it_is_committed_and_pushed(sessions, broker):
    row = a_row()
    with sessions.express("submit") as session:
        stored = store.insert_tasks(session, [row])

    assert stored[row["id"]].status == Status.PENDING
    assert broker.head("default:normal", 10) == [str(row["id"])]


def test_it_says_the_same_as_through_a_session(sessions, a_task, a_worker):
    a_worker("w")
    answers = []
    for begin in (sessions.begin, sessions.express):
        task = a_task(Status.PENDING)
        with begin("start") as session:
            (started,) = store.start_many(session, [str(task.id)], "w", ["example_task"])
        holder = store.Holder(started.attempt, "w")
        end = store.Settlement(str(task.id), holder, Move.SUCCEED, Outcome.SUCCEEDED, result="[1]")
        with begin("settle") as session:
            (settled,) = store.settle_many(session, [end])
        assert (started.id, settled.id) == (str(task.id), str(task.id))
        answers.append([each._replace(id=None) for each in (started, settled)])

    assert repr(answers[0]) == repr(answers[1])


def test_what_goes_along_is_committed_with_it(sessions):
    with sessions.express("submit") as session:
        audit.send_along(session, [Act("key", "task.submit", details={"a": 1})])
        store.insert_tasks(session, [a_row()])

    with sessions.begin() as session:
        assert session.scalars(select(AuditEntry.details)).one() == {"a": 1}


def test_what_goes_along_is_not_committed_without_it(sessions):
    row = a_row()
    with sessions.express("submit") as session:
        store.insert_tasks(session, [row])
    with suppress(IntegrityError), sessions.express("submit") as session:
        audit.send_along(session, [Act("key", "task.submit")])
        store.insert_tasks(session, [a_row(), row])

    with sessions.begin() as session:
        assert session.scalar(select(func.count()).select_from(AuditEntry)) == 0
        assert session.scalar(select(func.count()).select_from(Task)) == 1


CUT = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
)


def test_a_connection_that_was_cut_is_replaced_before_it_is_used(sessions):
    for begin in (sessions.express, sessions.begin):
        with begin("submit") as session:
            store.insert_tasks(session, [a_row()])
        with database.engine().connect() as other:
            other.execute(CUT)
        with begin("submit") as session:
            assert store.insert_tasks(session, [a_row()])


def test_a_connection_that_is_cut_in_use_is_an_outage_and_is_replaced(sessions):
    with suppress(DatabaseUnavailable), sessions.express("submit") as session:
        with sessions.begin() as other:
            other.execute(CUT)
        store.insert_tasks(session, [a_row()])
        raise AssertionError("the connection was not cut")

    with sessions.express("submit") as session:
        assert store.insert_tasks(session, [a_row()])


@pytest.mark.parametrize("begin", ["express", "begin"])
def test_connections_that_are_cut_as_soon_as_they_are_made_are_an_outage(sessions, begin):
    def cut_at_once(connection, record):
        """As a server does that takes connections and has not the means to keep them."""
        pid = connection.info.backend_pid
        with closing(psycopg2.connect(url)) as other, other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    engines = (database.engine(), database._express)
    url = database.engine().url.set(drivername="postgresql").render_as_string(False)
    for engine in engines:
        engine.dispose()
        event.listen(engine, "connect", cut_at_once)
    try:
        with pytest.raises(DatabaseUnavailable), getattr(sessions, begin)("submit") as session:
            store.insert_tasks(session, [a_row()])
    finally:
        for engine in engines:
            event.remove(engine, "connect", cut_at_once)
            engine.dispose()


def test_what_postgresql_cannot_store_is_said_so(sessions):
    with pytest.raises(Unstorable), sessions.express("submit") as session:
        store.insert_tasks(session, [a_row(payload='{"a": "\\u0000"}')])

    with sessions.express("submit") as session:
        assert store.insert_tasks(session, [a_row()])


@pytest.mark.parametrize(
    "hot",
    [statements.START, statements.SETTLE, statements.STILL_HELD],
    ids=lambda hot: hot.name,
)
def test_a_plan_that_was_made_of_an_empty_table_goes_by_the_primary_key(plans, hot):
    assert set(re.findall(r"tasks_\w+", plans(hot))) == {"tasks_pkey"}


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = datetime(2, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001  # Hypothesis adds the zone
TIMES = st.datetimes(FIRST, LAST, timezones=ZONES)
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", WORDS | st.sampled_from(["NULL", "null", "", " ", "{}", '"', "\\", "\\'", "a,b"])),
        ("integer", st.integers(-(2**31), 2**31 - 1)),
        ("double precision", st.floats(allow_nan=False)),
        ("timestamptz", TIMES),
        ("boolean", st.booleans()),
    ],
)
def test_an_array_arrives_as_it_was(sessions, kind, values):
    with sessions.express("") as session, session._connection.cursor() as cursor:

        @given(st.lists(values | st.none()))
        def arrives(sent):
            cursor.execute(f"SELECT %s::{kind}[]", [express.array(sent)])
            assert cursor.fetchone() == (sent,)

        arrives()


def test_a_plan_is_made_once_per_connection(sessions):
    for _ in range(3):
        with sessions.express("submit") as session:
            store.insert_tasks(session, [a_row()])
            with session._connection.cursor() as cursor:
                cursor.execute("SELECT name, generic_plans FROM pg_prepared_statements")
                prepared = dict(cursor.fetchall())

    assert prepared == {"insert_tasks": 3}
    database.close()
