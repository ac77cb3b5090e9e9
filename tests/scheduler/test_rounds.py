"""Duties are kept in time, and none stands in the way of another."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from redis.exceptions import RedisError

from scheduler.rounds import LONGEST_PAUSE, LOOK_EVERY, Duty, Rounds
from scheduler.stopping import Stop
from tasks.errors import DatabaseUnavailable
from tests.eventually import eventually


class Counted:
    """A duty's function that has this much to do, round after round."""

    def __init__(self, *amounts: int | Exception) -> None:
        self.amounts, self.rounds = list(amounts), 0

    def __call__(self) -> int:
        self.rounds += 1
        amount = self.amounts.pop(0) if self.amounts else 0
        if isinstance(amount, Exception):
            raise amount
        return amount


@pytest.fixture
def stop():
    return Stop()


def test_a_duty_is_kept_as_often_as_the_table_says(stop):
    often, seldom = Counted(), Counted()
    rounds = Rounds(
        [Duty(name="often", keep=often, every=0.0), Duty(name="seldom", keep=seldom, every=60.0)]
    )

    for _ in range(3):
        rounds.go(stop)

    assert (often.rounds, seldom.rounds) == (3, 1)


def test_an_announced_duty_waits_for_its_time(stop):
    keep, agenda = Counted(1), {"it": 0.1}
    rounds = Rounds([Duty(name="it", keep=keep, announced=True)], lambda: agenda)

    assert 0.05 < rounds.go(stop) <= 0.1
    assert keep.rounds == 0
    agenda["it"] = -0.01
    rounds.go(stop)
    assert keep.rounds == 1


def test_what_is_never_due_is_asked_for_again_soon(stop):
    keep = Counted()
    rounds = Rounds([Duty(name="it", keep=keep, announced=True)], dict)

    assert rounds.go(stop) == LOOK_EVERY
    assert keep.rounds == 0


def test_a_full_round_is_followed_by_another_at_once(stop):
    keep = Counted(10, 10, 3)
    rounds = Rounds([Duty(name="it", keep=keep, every=60.0, full=10)])

    waits = [rounds.go(stop) for _ in range(4)]

    assert keep.rounds == 3
    assert waits[0] <= 0 and waits[1] <= 0
    assert 50 < waits[2] <= 60


def test_what_is_due_but_held_by_others_is_not_asked_for_in_a_loop(stop):
    keep = Counted(0)
    rounds = Rounds([Duty(name="it", keep=keep, announced=True)], lambda: {"it": -1.0})

    assert rounds.go(stop) > LOOK_EVERY / 2
    rounds.go(stop)
    assert keep.rounds == 1


@pytest.mark.parametrize("error", [DatabaseUnavailable(), RedisError("connection refused")])
def test_a_server_that_is_away_is_mentioned_once(stop, caplog, error):
    keep = Counted(error, error, error, 1)
    rounds = Rounds([Duty(name="it", keep=keep)])
    caplog.set_level(logging.INFO)

    waits = [rounds.go(stop) for _ in range(5)]

    assert all(0 < wait <= LONGEST_PAUSE for wait in waits[:3])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "back after" in caplog.records[1].message


def test_a_mistake_in_one_duty_does_not_end_the_others(stop, caplog):
    wrong, right = Counted(KeyError("x")), Counted()
    rounds = Rounds([Duty(name="wrong", keep=wrong), Duty(name="right", keep=right)])

    rounds.go(stop)
    rounds.go(stop)

    assert (wrong.rounds, right.rounds) == (1, 2)
    assert "wrong failed" in caplog.text


def test_a_stop_ends_the_sleep_of_every_thread(stop):
    rounds = [Rounds([Duty(name="it", keep=Counted(), every=60.0)]) for _ in range(2)]
    threads = [threading.Thread(target=each.keep, args=(stop,)) for each in rounds]
    for thread in threads:
        thread.start()

    began = time.monotonic()
    stop.ask()

    eventually(lambda: not any(thread.is_alive() for thread in threads))
    assert time.monotonic() - began < 5


def test_a_stop_that_was_asked_for_is_not_slept_through(stop):
    stop.ask()
    began = time.monotonic()

    stop.sleep(60)

    assert time.monotonic() - began < 5


def test_asking_a_thousand_times_does_no_harm(stop):
    for _ in range(100_000):
        stop.ask()

    assert stop.asked


def test_it_sleeps_as_long_as_it_is_told(stop):
    began = time.monotonic()

    stop.sleep(0.05)

    assert 0.05 <= time.monotonic() - began < 5
