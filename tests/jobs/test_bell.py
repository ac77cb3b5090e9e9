"""A bell tells which queues something was pushed to, and who is told to stop."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError
from rq.command import send_command, send_shutdown_command

from jobs.bell import Bell
from tasks.broker import Broker
from tasks.scripts import HANDED, WAKE


@pytest.fixture
def bell(broker: Broker) -> Iterator[Bell]:
    bell = Bell(broker.redis)
    bell.hang("worker-1")
    heard(bell)  # its subscription is confirmed
    yield bell
    bell.take_down()


def rings(bell: Bell, within: float = 5) -> bool:
    """Whether there is something to be read."""
    poll = select.poll()
    assert bell.descriptor is not None
    poll.register(bell.descriptor, select.POLLIN)
    return bool(poll.poll(within * 1000))


def heard(bell: Bell) -> set[str]:
    """What it says until it is silent for a moment."""
    queues: set[str] = set()
    while rings(bell, within=0.2):
        queues |= bell.rung().queues
    return queues


def test_it_tells_the_queue(bell: Bell, broker: Broker) -> None:
    broker.redis.publish(WAKE, "default:high")

    assert rings(bell)
    assert bell.rung() == ({"default:high"}, [])
    assert not rings(bell, within=0)


def test_it_tells_what_is_handed_to_this_worker_and_to_no_other(bell: Bell, broker: Broker) -> None:
    broker.redis.publish(HANDED + "worker-2", "theirs")
    broker.redis.publish(HANDED + "worker-1", "ours")

    assert rings(bell)
    assert bell.rung() == (set(), ["ours"])


def test_nothing_of_what_has_come_is_left_behind(bell: Bell, broker: Broker) -> None:
    names = {f"queue-{number}:normal" for number in range(5000)}
    with broker.redis.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.publish(WAKE, name)
        pipeline.execute()

    assert heard(bell) == names


def test_it_obeys_rqs_shutdown_and_nothing_else(
    bell: Bell, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    send_command(broker.redis, "worker-1", "kill-horse")
    broker.redis.publish("rq:pubsub:worker-1", b"\xff not JSON")
    assert heard(bell) == set()
    assert not bell.told_to_stop
    assert "cancel tasks over the API" in caplog.text

    send_shutdown_command(broker.redis, "worker-1")

    assert heard(bell) == set()
    assert bell.told_to_stop


def test_a_broken_line_is_said_to_be_broken_and_can_be_hung_again(
    bell: Bell, broker: Broker
) -> None:
    broker.redis.client_kill_filter(_type="pubsub")
    assert rings(bell)
    with pytest.raises(RedisError):
        bell.rung()
    assert bell.descriptor is None

    bell.hang("worker-1")
    broker.redis.publish(WAKE, "default:low")

    assert heard(bell) == {"default:low"}
