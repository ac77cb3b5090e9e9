"""In which order a worker looks at its queues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from uuid_utils.compat import uuid7

from jobs.bell import Bell
from jobs.handlers import SHIPPED
from jobs.intake import AGAIN, Intake
from tasks import catalog
from tasks.broker import Broker, Delivery
from tasks.database import Sessions
from tasks.lifecycle import Priority
from tasks.models import Task
from tasks.scripts import READY
from tests.eventually import eventually


@pytest.fixture
def filled(broker: Broker) -> Broker:
    """A Redis with a queue of each priority, for each of two names."""
    broker.queue(
        [
            Delivery(str(uuid7()), "obey", name, priority, 60)
            for name in ("default", "mail")
            for priority in Priority
        ]
    )
    return broker


def orders(broker: Broker, times: int, *, weighted: bool) -> list[list[str]]:
    intake = Intake(broker, "worker-1", [], weighted=weighted)
    intake.learn_queues()
    return [intake._order() for _ in range(times)]


def test_strict_order_is_by_urgency(filled: Broker) -> None:
    for order in orders(filled, 20, weighted=False):
        urgencies = [queue.rpartition(":")[2] for queue in order]
        assert urgencies == sorted(urgencies, key=[*Priority].index)


def test_names_of_one_priority_take_turns(filled: Broker) -> None:
    first = Counter(order[0] for order in orders(filled, 20, weighted=False))

    assert first == {"default:critical": 10, "mail:critical": 10}


def test_weighted_order_never_starves_low(filled: Broker) -> None:
    first = Counter(order[0].rpartition(":")[2] for order in orders(filled, 4000, weighted=True))

    # 27 : 9 : 3 : 1, so 100 of 4,000 for low; fewer than 50 would be five deviations away
    assert first["critical"] > first["high"] > first["normal"] > first["low"] > 50


def test_a_worker_learns_only_the_queues_it_is_limited_to(filled: Broker) -> None:
    intake = Intake(filled, "worker-1", ["mail"], weighted=False)

    assert intake.learn_queues()
    assert intake.queues == [f"mail:{priority}" for priority in Priority]


def test_of_very_many_names_each_is_looked_at_before_long(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.intake.NAMES", 10)
    broker.redis.sadd("rq:queues", *(f"rq:queue:name-{number}:low" for number in range(95)))

    looks = orders(broker, 10, weighted=False)

    assert {len(look) for look in looks} == {10}
    assert len({queue for look in looks for queue in look}) == 95


@pytest.mark.parametrize(
    "planted", ["", ":", "x y", "a" * 65, "a:b", "ä", "*", "../x", "default:critical:x", "x\n"]
)
def test_a_queue_whose_name_nobody_could_submit_to_is_never_looked_at(
    broker: Broker, planted: str
) -> None:
    broker.redis.sadd("rq:queues", f"rq:queue:{planted}:low", "rq:queue:fine:low")
    broker.redis.rpush(f"rq:queue:{planted}:low", str(uuid7()))

    assert orders(broker, 1, weighted=False) == [["fine:low"]]


def test_what_is_handed_over_is_claimed_without_a_look(
    broker: Broker, sessions: Sessions, a_task: Callable[..., Task], a_worker: Callable[..., object]
) -> None:
    catalog.load(SHIPPED)
    a_worker("worker-1")
    handed, queued = str(a_task().id), str(a_task().id)
    intake = an_intake_with_nothing_to_do(broker)
    broker.queue([delivery_of(queued)])
    intake.hand([handed])

    assert intake.undecided
    first = intake.take(1, 1, look=False)
    second = intake.take(1, 1)

    assert [[each.id for each in taken.claims] for taken in (first, second)] == [[handed], [queued]]
    assert not intake.undecided


def test_what_is_handed_over_takes_a_place(
    broker: Broker, sessions: Sessions, a_task: Callable[..., Task], a_worker: Callable[..., object]
) -> None:
    catalog.load(SHIPPED)
    a_worker("worker-1")
    handed, *queued = [str(a_task().id) for _ in range(3)]
    intake = an_intake_with_nothing_to_do(broker)
    broker.queue([delivery_of(id) for id in queued])
    intake.hand([handed])

    assert {each.id for each in intake.take(2, 2).claims} == {handed, queued[0]}


def test_what_was_handed_over_unheard_is_recalled(
    broker: Broker, sessions: Sessions, a_task: Callable[..., Task], a_worker: Callable[..., object]
) -> None:
    catalog.load(SHIPPED)
    a_worker("worker-1")
    intake = an_intake_with_nothing_to_do(broker)
    task = str(a_task().id)
    bell = Bell(broker.redis)
    bell.hang("worker-1")
    bell.rung()  # the confirmation
    broker.queue([delivery_of(task)])
    bell.take_down()
    assert intake.take(1, 1).claims == []

    intake.recall()

    assert [each.id for each in intake.take(1, 1).claims] == [task]
    intake.tidy()
    assert broker.popped_by("worker-1") == []


def test_a_worker_without_a_place_for_every_sort_is_handed_nothing(
    broker: Broker, sessions: Sessions
) -> None:
    catalog.load(SHIPPED)
    intake = an_intake_with_nothing_to_do(broker)
    assert broker.redis.hexists(READY, "worker-1")

    intake.take(1, 0, is_ready=True)

    assert not broker.redis.hexists(READY, "worker-1")


def an_intake_with_nothing_to_do(broker: Broker) -> Intake:
    broker.redis.sadd("rq:queues", "rq:queue:default:normal")
    intake = Intake(broker, "worker-1", [], weighted=False)
    intake.learn_queues()
    assert intake.take(1, 1, is_ready=True).claims == []
    return intake


def delivery_of(id: str) -> Delivery:
    return Delivery(id, "example_task", "default", Priority.NORMAL, 60)


def test_what_is_no_id_leaves_the_popped_set(broker: Broker, sessions: Sessions) -> None:
    broker.redis.sadd("rq:queues", "rq:queue:default:normal")
    broker.redis.lpush("rq:queue:default:normal", "not-an-id", "", b"\xff no text")
    intake = Intake(broker, "worker-1", [], weighted=False)
    intake.learn_queues()

    intake.take(5, 0)
    intake.tidy()

    assert broker.popped_by("worker-1") == []


def test_a_claim_that_only_a_lost_lease_refuses_is_made_again_a_moment_later(
    broker: Broker, sessions: Sessions, a_task: Callable[..., Task], a_worker: Callable[..., object]
) -> None:
    catalog.load(SHIPPED)
    task = a_task()
    delivery = Delivery(str(task.id), task.name, task.queue_name, Priority.NORMAL, task.timeout)
    broker.queue([delivery])
    intake = Intake(broker, "worker-1", [], weighted=False)
    intake.learn_queues()

    assert intake.take(5, 0).claims == []
    assert intake.lease_in_doubt
    assert intake.take(5, 0).claims == []  # it does not spin
    assert broker.popped_by("worker-1") == [str(task.id)]

    a_worker("worker-1")
    claims = eventually(lambda: intake.take(5, 0).claims, within=100 * AGAIN)
    assert [each.id for each in claims] == [str(task.id)]
