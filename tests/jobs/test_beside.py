"""A call beside the worker's loop: one at a time, and no thread is left when it rests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from jobs.beside import Beside
from jobs.recorder import record
from jobs.settling import Outbox
from tasks.database import Sessions
from tasks.lifecycle import Move, Outcome, Status
from tasks.models import Task
from tests.jobs.conftest import look
from tests.tasks.test_store import word


@pytest.fixture
def over() -> threading.Event:
    return threading.Event()


@pytest.fixture
def beside(over: threading.Event) -> Iterator[Beside[object]]:
    beside = Beside[object]("a-test", over.set)
    yield beside
    beside.rest()


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("a-test")]


def test_it_says_when_the_call_is_over(beside: Beside[object], over: threading.Event) -> None:
    go_on = threading.Event()

    beside.begin(lambda: go_on.wait(10) and threading.current_thread().name)
    assert not beside.is_idle and not beside.is_done
    go_on.set()
    assert over.wait(10)

    assert beside.is_done and not beside.is_idle
    assert beside.result() == threads()[0]
    assert beside.is_idle and not beside.is_done


def test_what_the_call_raises_comes_with_its_result(
    beside: Beside[object], over: threading.Event
) -> None:
    beside.begin(lambda: 1 // 0)
    assert over.wait(10)

    with pytest.raises(ZeroDivisionError):
        beside.result()
    assert beside.is_idle


def test_without_a_call_there_is_no_result(beside: Beside[object]) -> None:
    assert beside.result() is None


def test_when_it_rests_the_process_has_one_thread_less(beside: Beside[object]) -> None:
    beside.begin(lambda: "first")
    assert threads()
    beside.rest()

    assert not threads()
    assert beside.result() == "first"  # what was done is not forgotten
    beside.begin(lambda: "second")  # and it can begin again
    assert beside.result() == "second"


def test_what_ends_while_a_set_goes_on_record_is_in_the_next(
    beside: Beside[object], sessions: Sessions, a_task: Callable[..., Task]
) -> None:
    first, second = a_task(status=Status.RUNNING), a_task(status=Status.RUNNING)
    outbox = Outbox()
    outbox.add(word(first, Move.SUCCEED, Outcome.SUCCEEDED), "default:normal")
    with sessions.begin() as elsewhere:
        elsewhere.get(Task, first.id, with_for_update=True)
        beside.begin(lambda: record(outbox, None))
        outbox.add(word(second, Move.SUCCEED, Outcome.SUCCEEDED), "default:normal")

    beside.result()
    while len(outbox):
        beside.begin(lambda: record(outbox, None))
        beside.result()
    assert {look(first.id).status, look(second.id).status} == {Status.SUCCEEDED}
