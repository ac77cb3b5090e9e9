"""A worker looks ahead, and waits for sets, by what recent tasks took."""

from __future__ import annotations

from jobs.pace import BRISK, COUNTED, FURTHEST, SOON, Pace


def a_pace(seconds: float, tasks: int, *, waiting: bool = False) -> Pace:
    pace = Pace()
    pace.is_brisk(0.0)  # from here on it counts
    for _ in range(tasks):
        pace.note(seconds, waiting=waiting)
    return pace


def test_nothing_is_taken_ahead_of_what_is_not_known() -> None:
    assert Pace().ahead() == (0, 0.0)


def test_as_much_is_taken_ahead_as_begins_soon() -> None:
    assert a_pace(SOON / 3, 1).ahead().ordinary == 3
    assert a_pace(SOON * 2, 1).ahead().ordinary == 0
    assert a_pace(1e-9, 1).ahead().ordinary == FURTHEST
    assert a_pace(SOON * 2, 1, waiting=True).ahead().waiting == 0.5


def test_it_is_brisk_while_many_ordinary_tasks_end() -> None:
    enough = int(BRISK * COUNTED)

    assert a_pace(0.001, enough).is_brisk(COUNTED)
    assert not a_pace(0.001, enough - 1).is_brisk(COUNTED)
    assert not a_pace(0.001, enough, waiting=True).is_brisk(COUNTED)


def test_it_is_brisk_no_longer_when_fewer_end() -> None:
    pace = a_pace(0.001, 1000)

    assert pace.is_brisk(COUNTED)
    assert pace.is_brisk(COUNTED * 1.5)  # it counts on
    assert not pace.is_brisk(COUNTED * 2)
