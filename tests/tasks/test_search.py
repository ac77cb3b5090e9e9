"""Lists are read newest first, in pages that nothing shifts; attempts are told in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select, text
from uuid_utils.compat import uuid7

from tasks import search
from tasks.errors import TaskNotFound
from tasks.lifecycle import Outcome, Priority, Status
from tasks.models import Task, TaskLabel
from tasks.search import Filter, first_id_of
from tests.rows import ago


@pytest.fixture(params=[1, 2, 10_000], ids="looks through {} at once".format, autouse=True)
def effort(request, monkeypatch):
    """Few tasks in a test are what many are outside."""
    for name in ("AT_ONCE", "PATIENCE", "LABELLED"):
        monkeypatch.setattr(search, name, request.param)


def found(session, **wanted) -> set[UUID]:
    """All pages together."""
    pages = [search.page(session, Filter(**wanted), 100)]
    while after := pages[-1].last:
        pages.append(search.page(session, Filter(**wanted), 100, after))
    ids = [task.id for page in pages for task in page.items]
    assert ids == sorted(ids, reverse=True) and len(set(ids)) == len(ids)
    return set(ids)


@pytest.fixture
def at_ease(monkeypatch):
    """Nothing is so much that a page ends early."""
    monkeypatch.setattr(search, "PATIENCE", 10_000)


@pytest.mark.usefixtures("at_ease")
def test_pages_join_without_a_gap_or_a_repetition(session, a_task):
    ids = [a_task().id for _ in range(7)]
    pages, after = [], None
    while True:
        page = search.page(session, Filter(), 3, after)
        pages.append([task.id for task in page.items])
        a_task()  # newer ones do not shift what comes after
        after = page.last
        if after is None:
            break

    assert pages == [ids[:3:-1], ids[3:0:-1], ids[:1]]


@pytest.mark.usefixtures("at_ease")
def test_a_last_page_that_is_just_full_is_the_last(session, a_task):
    for _ in range(3):
        a_task()

    assert search.page(session, Filter(), 3).last is None
    assert search.page(session, Filter(), 2).last is not None


@pytest.mark.parametrize(
    ("wanted", "facts"),
    [
        ({"status": Status.FAILED}, {"status": Status.FAILED}),
        ({"name": "mail.send"}, {"name": "mail.send"}),
        ({"queue_name": "mail"}, {"queue_name": "mail"}),
        ({"priority": Priority.LOW}, {"priority": Priority.LOW}),
        ({"label": ("team", "ü")}, {"labels": {"team": "ü", "x": "y"}}),
    ],
    ids=lambda each: next(iter(each)),
)
def test_a_filter_finds_what_it_names_and_nothing_else(session, a_task, wanted, facts):
    a_task(labels={"team": "other"})
    a_task(Status.SUCCEEDED)
    wanted_task = a_task(**facts)

    assert found(session, **wanted) == {wanted_task.id}


def test_filters_are_combined(session, a_task):
    both = a_task(queue_name="q", priority="high")
    a_task(queue_name="q")
    a_task(priority="high")

    assert found(session, queue_name="q", priority=Priority.HIGH) == {both.id}


def test_the_newest_of_several_groups_are_merged(session, a_task):
    ids = [a_task(name=f"kind {n % 3}", priority=("low", "high")[n % 2]).id for n in range(12)]
    a_task(queue_name="other")

    first = search.page(session, Filter(queue_name="default"), 5)
    second = search.page(session, Filter(queue_name="default"), 5, first.last)

    assert [task.id for task in first.items] == ids[:6:-1]
    assert [task.id for task in second.items] == ids[6:1:-1]


def test_what_is_rare_and_old_is_on_the_first_page(session, a_task):
    old = a_task(Status.FAILED, name="rare")
    for _ in range(5):
        a_task()
        a_task(Status.FAILED)
        a_task(name="rare")

    page = search.page(session, Filter(status=Status.FAILED, name="rare"), 10)

    assert ([task.id for task in page.items], page.last) == ([old.id], None)


def test_a_page_ends_early_where_nothing_leads_to_what_is_asked_for(session, a_task, monkeypatch):
    monkeypatch.setattr(search, "LABELLED", 2)
    ids = [a_task(Status.FAILED, labels={"team": "a"}).id]
    ids += [a_task(labels={"team": "a"}).id for _ in range(3)]
    wanted = Filter(status=Status.FAILED, label=("team", "a"))

    first = search.page(session, wanted, 10)
    second = search.page(session, wanted, 10, first.last)

    assert (first.items, first.last) == ([], ids[2])
    assert [task.id for task in second.items] == ids[:1]


def test_more_groups_than_are_read_are_no_obstacle(session, a_task, monkeypatch):
    monkeypatch.setattr(search, "GROUPS", 3)
    wanted = {a_task(queue_name=f"q{n}", priority="high").id for n in range(4)}
    a_task()

    assert found(session, priority=Priority.HIGH) == wanted


@pytest.mark.parametrize("label", [("team", "a" * 1000), ("k" * 1000, "a")])
def test_a_label_may_be_longer_than_its_index(session, a_task, label):
    key, value = label
    wanted = a_task(labels={key: value, "another": "one"})
    a_task(labels={key: value + "b", key + "k": value})

    assert found(session, label=label) == {wanted.id}


def test_a_label_ends_with_its_task(session, a_task):
    labels = select(TaskLabel.key, TaskLabel.value)
    task = a_task(labels={"team": "a", "x": "y"})
    other = a_task(labels={"team": "a"})
    assert len(session.execute(labels).all()) == 3

    session.execute(delete(Task).where(Task.id == task.id))

    assert session.execute(labels).all() == [("team", "a")]
    assert found(session, label=("team", "a")) == {other.id}


def test_bounds_of_time_are_those_of_the_row(session, a_task):
    """The id carries the clock of the process that made it, which may differ a little."""

    def made(minutes: float, clock_off: float = 0) -> UUID:
        at = ago(minutes=minutes)
        milliseconds = int((at.timestamp() + clock_off) * 1000)
        id = UUID(int=(milliseconds << 80) | (uuid7().int & ((1 << 80) - 1)))
        return a_task(id=id, created_at=at).id

    old, middle, young = made(30), made(20, clock_off=-45), made(10, clock_off=45)

    assert found(session, created_after=ago(minutes=25)) == {middle, young}
    assert found(session, created_before=ago(minutes=15)) == {old, middle}
    assert found(session, created_after=ago(minutes=25), created_before=ago(minutes=15)) == {middle}


@pytest.mark.parametrize(
    "moment", [datetime(1969, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
def test_bounds_may_be_absurd(moment):
    assert 0 <= first_id_of(moment, slack=0).int < 2**128


def test_ids_of_a_time_lie_around_it():
    now = datetime.now(UTC)

    assert first_id_of(now, slack=-1) < uuid7() < first_id_of(now + timedelta(seconds=2), slack=0)


class TestAttempts:
    def test_ended_ones_are_told_in_order(self, session, a_task):
        task = a_task(Status.SUCCEEDED, attempt=3)

        told = search.attempts(session, task.id)

        assert [(each.number, each.outcome) for each in told] == [
            (1, Outcome.FAILED),
            (2, Outcome.FAILED),
            (3, Outcome.SUCCEEDED),
        ]

    def test_the_one_under_way_has_no_end(self, session, a_task):
        task = a_task(Status.RUNNING, attempt=2)

        ended, under_way = search.attempts(session, task.id)

        assert (ended.number, under_way.number) == (1, 2)
        assert (under_way.ended_at, under_way.outcome) == (None, None)
        assert (under_way.worker_id, under_way.started_at) == (task.worker_id, task.started_at)

    def test_looking_writes_nothing(self, sessions, a_task):
        task = a_task(Status.RUNNING)
        with sessions.begin() as session:
            search.attempts(session, task.id)
        with sessions.begin() as session:
            assert session.scalar(text("SELECT count(*) FROM attempts")) == 0

    def test_a_task_that_does_not_exist_has_none(self, session):
        with pytest.raises(TaskNotFound):
            search.attempts(session, uuid4())
