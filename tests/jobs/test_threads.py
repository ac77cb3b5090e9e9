"""A horse's threads: as many as are needed, none lost, none too many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from jobs.assignment import Assignment
from jobs.threads import Threads
from tests.eventually import eventually

Make = Callable[[Callable[[Assignment], None]], Threads]


def an_assignment(task_id: str = "1") -> Assignment:
    return Assignment(task_id, "wait", b"{}", 1, 60.0, 0, 0, "worker-1", None)


@pytest.fixture
def a_pair() -> Iterator[Make]:
    """Two threads that run what the test says."""
    made: list[Threads] = []

    def make(run: Callable[[Assignment], None]) -> Threads:
        made.append(Threads(2, run))
        return made[-1]

    yield make
    for each in made:
        each.finish()


def test_no_more_run_than_there_are_threads(a_pair: Make) -> None:
    go_on = threading.Event()

    def run(_: Assignment) -> None:
        go_on.wait(10)

    threads = a_pair(run)
    for _ in range(2):
        assert threads.reserve(wait=False)
        threads.give(an_assignment())

    assert not threads.reserve(wait=False)
    threading.Timer(0.05, go_on.set).start()
    assert threads.reserve(wait=True)  # as soon as one has ended
    threads.give(an_assignment())


def test_a_thread_that_is_idle_is_used_again(a_pair: Make) -> None:
    ran: list[str] = []
    threads = a_pair(lambda _: ran.append(threading.current_thread().name))
    for _ in range(5):
        assert threads.reserve(wait=False)
        threads.give(an_assignment())
        eventually(lambda: not threads._idle.empty())

    assert len(set(ran)) == 1


def test_what_raises_costs_no_thread(a_pair: Make) -> None:
    ran: list[str] = []

    def run(assignment: Assignment) -> None:
        ran.append(assignment.task_id)
        raise SystemExit

    threads = a_pair(run)
    for number in range(5):
        assert threads.reserve(wait=True)
        threads.give(an_assignment(str(number)))
    threads.finish()

    assert sorted(ran) == ["0", "1", "2", "3", "4"]


def test_the_end_waits_for_what_runs(a_pair: Make) -> None:
    ended: list[str] = []
    go_on = threading.Event()

    def run(assignment: Assignment) -> None:
        go_on.wait(10)
        ended.append(assignment.task_id)

    threads = a_pair(run)
    threading.Timer(0.05, go_on.set).start()
    threads.reserve(wait=False)
    threads.give(an_assignment("1"))
    threads.finish()

    assert ended == ["1"]
