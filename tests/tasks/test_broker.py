"""What stands in Redis is a nudge: pushed whole, popped once, and never fatal."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from functools import partial
from uuid import UUID

import pytest
from rq import Queue as RQQueue
from uuid_utils.compat import uuid7

from dev.servers import Redis
from jobs.rq_job import Job
from tasks import inspection
from tasks.broker import (
    Breaker,
    Broker,
    Delivery,
    Ended,
    connect,
    refuse_unfit,
    rq_queue,
    serving,
    split_queue,
)
from tasks.errors import BrokerUnavailable, UnfitServer
from tasks.lifecycle import Priority
from tasks.scripts import HANDED, POPPED, READY, WAKE

HIGH, NORMAL = "default:high", "default:normal"


def a_delivery(priority: str = "normal", **facts: object) -> Delivery:
    delivery = Delivery(str(uuid7()), "example_task", "default", Priority(priority), 60.0)
    return delivery._replace(**facts)


def ids(deliveries: list[Delivery]) -> list[str]:
    return [each.id for each in deliveries]


class TestPushing:
    def test_a_job_is_one_that_rqs_tools_understand(self, broker):
        delivery = a_delivery(timeout=7.9)
        broker.queue([delivery])

        job = Job.fetch(delivery.id, connection=broker.redis)

        assert (job.origin, job.func_name, job.args) == (NORMAL, "jobs.run", [delivery.id])
        assert (job.description, job.timeout, job.get_status()) == ("example_task", 7, "queued")
        queue = RQQueue(NORMAL, connection=broker.redis, job_class=Job)
        assert [each.id for each in queue.jobs] == [delivery.id]
        assert broker.queues() == [NORMAL]

    def test_nothing_of_the_payload_goes_to_redis(self, broker):
        delivery = a_delivery()
        broker.queue([delivery])

        fields = broker.redis.hgetall(f"rq:job:{delivery.id}")

        assert set(fields) == {
            b"data", b"origin", b"description", b"timeout", b"status", b"created_at",
            b"enqueued_at",
        }  # fmt: skip

    def test_many_are_pushed_in_order_each_to_its_queue(self, broker):
        pushed = [a_delivery("high" if n % 3 else "normal") for n in range(2500)]

        broker.queue(pushed)

        for priority, queue in (("high", HIGH), ("normal", NORMAL)):
            expected = [each for each in pushed if each.priority == priority]
            assert broker.head(queue, 9999) == ids(expected)

    def test_the_front_is_filled_in_order(self, broker):
        waiting, first, second = a_delivery(), a_delivery(front=True), a_delivery(front=True)
        broker.queue([waiting])

        broker.queue([first, second])

        assert broker.head(NORMAL, 9) == ids([first, second, waiting])

    def test_a_push_replaces_whatever_was_there(self, broker):
        delivery = a_delivery()
        broker.redis.hset(f"rq:job:{delivery.id}", "exc_info", "of an earlier attempt")

        broker.queue([delivery])

        assert not broker.redis.hexists(f"rq:job:{delivery.id}", "exc_info")

    def test_workers_are_woken(self, broker):
        with broker.redis.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(WAKE)
            channel.get_message(timeout=1)
            broker.queue([a_delivery("high")])
            message = channel.get_message(timeout=2)

        assert message["data"] == HIGH.encode()

    def test_only_what_is_missing_is_restored(self, broker):
        there, missing = a_delivery(), a_delivery()
        broker.queue([there])

        assert broker.restore([there, missing]) == 1
        assert broker.restore([missing]) == 0

        assert broker.head(NORMAL, 9) == ids([there, missing])

    def test_scripts_that_redis_forgot_are_sent_again(self, broker):
        for deliveries in ([a_delivery()], [a_delivery(), a_delivery()]):
            broker.redis.script_flush()
            broker.queue(deliveries)

        assert broker.length(NORMAL) == 3


class TestWhenRedisIsAway:
    @pytest.fixture
    def own_redis(self, tmp_path):
        with Redis(tmp_path / "redis", temporary=True, settings={"save": '""'}) as server:
            yield server

    def test_a_push_fails_quietly_and_fast_and_then_at_once(self, own_redis):
        with closing(connect(own_redis.url, patience=0.2)) as client:
            broker = Broker(client)
            assert broker.push([a_delivery()])
            own_redis.pause()
            try:
                began = time.monotonic()
                assert not broker.push([a_delivery()])
                first = time.monotonic() - began
                assert not broker.push([a_delivery()])
                second = time.monotonic() - began - first
                with pytest.raises(BrokerUnavailable):
                    broker.check()
                broker.announce_finished([str(uuid7())])
            finally:
                own_redis.resume()
        assert 0.1 < first < 1
        assert second < 0.05

    def test_a_connection_from_before_a_restart_does_not_lose_a_push(self, own_redis):
        with closing(connect(own_redis.url, patience=2)) as client:
            broker = Broker(client)
            broker.queue([a_delivery()])
            own_redis.restart()

            broker.queue([a_delivery(), a_delivery()])

            assert broker.length(NORMAL) == 2

    def test_a_connection_that_breaks_after_a_while_costs_no_second_wait(self):
        came = []

        def hesitate() -> None:
            with suppress(OSError):  # the server is shut down
                while True:
                    connection, _ = server.accept()
                    came.append(connection.recv(10_000))
                    time.sleep(0.15)
                    connection.close()

        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            thread = threading.Thread(target=hesitate)
            thread.start()
            port = server.getsockname()[1]
            with closing(connect(f"redis://127.0.0.1:{port}/0", patience=2)) as client:
                assert not Broker(client).push([a_delivery()])
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
        assert len(came) == 1

    def test_each_life_of_redis_has_its_own_name(self, own_redis):
        with closing(connect(own_redis.url, patience=2)) as client:
            first = inspection.epoch(client)
            assert inspection.epoch(client) == first
            client.flushall()
            flushed = inspection.epoch(client)
            own_redis.restart()
            restarted = inspection.epoch(client)

        assert len({first, flushed, restarted}) == 3

    @pytest.mark.parametrize(
        ("setting", "value", "says"), [("maxmemory-policy", "allkeys-lru", "noeviction")]
    )
    def test_a_server_that_would_break_the_promise_is_refused(
        self, own_redis, setting, value, says
    ):
        with closing(connect(own_redis.url, patience=2)) as client:
            refuse_unfit(client)
            client.config_set(setting, value)
            with pytest.raises(UnfitServer, match=says):
                refuse_unfit(client)

    def test_a_tripped_breaker_closes_again(self):
        breaker = Breaker(pause=0.0)
        breaker.trip()
        assert breaker.lets_through()
        breaker = Breaker(pause=60.0)
        breaker.trip()
        assert not breaker.lets_through()


class TestPopping:
    def test_the_most_urgent_come_first_and_each_once(self, broker):
        normal, high = [a_delivery() for _ in range(3)], [a_delivery("high") for _ in range(2)]
        broker.queue([*normal, *high])

        assert broker.pop("w", [HIGH, NORMAL], 4) == ids([*high, *normal[:2]])
        assert broker.pop("v", [HIGH, NORMAL], 4) == ids(normal[2:])
        assert broker.pop("w", [HIGH, NORMAL], 4) == []

    def test_popped_ids_are_on_record_until_they_leave(self, broker):
        pushed = [a_delivery() for _ in range(3)]
        broker.queue(pushed)

        popped = broker.pop("w", [NORMAL], 2)
        assert sorted(broker.popped_by("w")) == sorted(popped)
        assert inspection.poppers(broker.redis) == ["w"]

        broker.pop("w", [NORMAL], 0, leave=popped[:1])
        assert broker.popped_by("w") == popped[1:]
        broker.leave("w", popped[1:])
        assert broker.popped_by("w") == []

    def test_a_thousand_may_leave_at_once(self, broker):
        broker.redis.sadd(POPPED + "w", *range(2500))

        broker.pop("w", [NORMAL], 0, leave=[str(n) for n in range(2500)])

        assert broker.popped_by("w") == []

    def test_both_sorts_are_taken_as_wanted_and_order_is_kept(self, broker):
        pushed = [a_delivery(name=name) for name in ("io", "cpu", "io", "cpu", "cpu", "io")]
        broker.queue(pushed)

        popped = broker.pop("w", [NORMAL], 2, 9, ["io"])

        assert popped == ids(pushed[:4])  # the third ordinary one ends the queue
        assert broker.head(NORMAL, 9) == ids(pushed[4:])

    @pytest.mark.parametrize("rubbish", ["text", "set"])
    def test_rubbish_where_a_queue_should_be_harms_nobody(self, broker, rubbish):
        if rubbish == "text":
            broker.redis.set(f"rq:queue:{HIGH}", "x")
        else:
            broker.redis.sadd(f"rq:queue:{HIGH}", "x")
        delivery = a_delivery()
        broker.queue([delivery])

        assert broker.pop("w", [HIGH, NORMAL], 9) == ids([delivery])


class TestHandingOver:
    """What is pushed to an empty queue goes to a worker that waits for it."""

    @pytest.fixture
    def hear(self, broker):
        """A worker's ears; what they hear is the ids that are handed to it."""
        with ExitStack() as opened:

            def listen(worker: str, ready_for: str = "*") -> Callable[[], list[str]]:
                ears = opened.enter_context(broker.redis.pubsub())
                ears.subscribe(HANDED + worker)
                assert ears.get_message(timeout=5)["type"] == "subscribe"
                assert broker.pop(worker, [NORMAL], 1, ready_for=ready_for) == []
                return lambda: list(iter(partial(heard_by, ears), None))

            yield listen

    def test_a_worker_that_found_nothing_is_handed_the_next_task_and_no_other(self, broker, hear):
        heard = hear("w")
        first, second = a_delivery(), a_delivery()

        broker.queue([first])
        broker.queue([second])

        assert heard() == broker.popped_by("w") == [first.id]
        assert broker.head(NORMAL, 9) == [second.id]
        assert inspection.poppers(broker.redis) == ["w"]
        assert Job.fetch(first.id, connection=broker.redis).get_status() == "queued"

    def test_whoever_gives_a_task_back_may_be_handed_it(self, broker, hear):
        heard = hear("w")
        delivery = a_delivery(front=True)

        broker.queue([delivery])

        assert heard() == [delivery.id]

    def test_a_worker_that_is_gone_is_passed_over(self, broker, hear):
        broker.pop("gone", [NORMAL], 1, ready_for="*")
        heard = hear("w")
        delivery = a_delivery()

        broker.queue([delivery])

        assert heard() == broker.popped_by("w") == [delivery.id]
        assert broker.popped_by("gone") == []

    def test_a_task_that_nobody_hears_of_is_queued(self, broker):
        broker.pop("gone", [NORMAL], 1, ready_for="*")
        delivery = a_delivery()

        broker.queue([delivery])

        assert broker.head(NORMAL, 9) == [delivery.id]

    def test_who_said_so_long_ago_is_not_ready_any_more(self, broker, hear):
        heard = hear("w")
        long_ago = int(time.time()) - 1
        broker.redis.hset(READY, "w", f"{long_ago} *")
        delivery = a_delivery()

        broker.queue([delivery])

        assert (heard(), broker.head(NORMAL, 9)) == ([], [delivery.id])

    def test_who_withdraws_is_handed_nothing(self, broker, hear):
        heard = hear("w")
        broker.not_ready("w")
        broker.queue([a_delivery()])

        assert heard() == []

    def test_each_is_handed_only_what_it_serves(self, broker, hear):
        mail = hear("mail", serving(["mail", "mail-2"]))
        other = hear("other", serving(["default"]))
        delivery = a_delivery()

        broker.queue([delivery])

        assert (mail(), other()) == ([], [delivery.id])

    def test_several_at_once_are_queued_and_everybody_looks(self, broker, hear):
        heard = hear("w")
        several = [a_delivery(), a_delivery()]

        broker.queue(several)
        broker.queue([a_delivery("low")])  # would overtake them

        assert heard() == []
        assert broker.head(NORMAL, 9) == ids(several)

    def test_what_waits_already_goes_first(self, broker, hear):
        heard = hear("w")
        waiting, next_one = a_delivery(), a_delivery()
        broker.redis.rpush(f"rq:queue:{NORMAL}", waiting.id)  # as a stock RQ client does

        broker.queue([next_one])

        assert heard() == []
        assert broker.head(NORMAL, 9) == ids([waiting, next_one])

    def test_what_is_restored_is_queued(self, broker, hear):
        heard = hear("w")
        delivery = a_delivery()

        assert broker.restore([delivery]) == 1

        assert (heard(), broker.head(NORMAL, 9)) == ([], [delivery.id])

    def test_who_found_something_is_busy(self, broker, hear):
        heard = hear("w")
        waiting = a_delivery()
        broker.redis.rpush(f"rq:queue:{NORMAL}", waiting.id)
        assert broker.pop("w", [NORMAL], 2, ready_for="*") == [waiting.id]

        broker.queue([a_delivery()])

        assert heard() == []

    @pytest.mark.parametrize("rubbish", ["text", "words"])
    def test_rubbish_among_those_who_are_ready_harms_nobody(self, broker, hear, rubbish):
        if rubbish == "text":
            broker.redis.set(READY, "x")
        else:
            broker.redis.hset(READY, mapping={"v": "", "u": "soon *", b"\xff": b"\xff"})
        broker.redis.set(POPPED + "w", "x")
        first, second = a_delivery(), a_delivery()

        broker.not_ready("w")
        broker.queue([first])
        assert broker.head(NORMAL, 9) == [first.id]
        broker.redis.delete(f"rq:queue:{NORMAL}")
        heard = hear("w")
        broker.queue([second])

        assert heard() == broker.popped_by("w") == [second.id]


def heard_by(ears) -> str | None:
    message = ears.get_message(timeout=0.2)
    return message and message["data"].decode()


class TestMirroring:
    def test_an_ended_job_is_shown_for_a_while(self, broker):
        delivery = a_delivery()
        broker.queue([delivery])
        broker.redis.zadd(f"rq:wip:{NORMAL}", {f"{delivery.id}:1": 1})

        broker.mirror_ended("w", [Ended(delivery.id, NORMAL, "finished", f"{delivery.id}:1")], 60)

        job = Job.fetch(delivery.id, connection=broker.redis)
        assert (job.get_status(), job.worker_name) == ("finished", "w")
        assert 0 < broker.redis.ttl(f"rq:job:{delivery.id}") <= 60
        assert broker.redis.zrange(f"rq:finished:{NORMAL}", 0, -1) == [delivery.id.encode()]
        assert broker.redis.zcard(f"rq:wip:{NORMAL}") == 0

    def test_a_job_without_a_status_goes(self, broker):
        delivery = a_delivery()
        broker.queue([delivery])

        broker.mirror_ended("w", [Ended(delivery.id, NORMAL, "")], 60)
        broker.remove([])

        assert not broker.redis.exists(f"rq:job:{delivery.id}")


@pytest.mark.parametrize(
    ("queue", "parts"),
    [
        ("default:high", ("default", Priority.HIGH)),
        ("a:b:low", None),
        ("default", None),
        ("default:urgent", None),
        (":high", None),
    ],
)
def test_a_queue_has_a_name_and_a_priority(queue, parts):
    assert split_queue(queue) == parts
    if parts:
        assert rq_queue(*parts) == queue


@pytest.mark.parametrize("text", ["", "x", "0195e7", str(UUID(int=7)).upper() + "A", "{%s}"])
def test_only_ids_as_we_spell_them_are_ids(text):
    assert inspection.as_ids([text.encode(), b"\xff"]) == []
