"""What RQ's tools see of a worker, also where a call to Redis was done and its answer was lost."""

from __future__ import annotations

from rq import Worker
from rq.suspension import suspend

from jobs.rq_worker import RQWorker
from tasks.broker import Broker


def present(worker: RQWorker, *queues: str) -> Worker:
    """Present it, and find it as RQ's tools do."""
    worker.present(queues, is_busy=False, succeeded=2, failed=1)
    (found,) = Worker.all(worker.connection)
    return found


def test_it_is_shown_with_its_queues_and_counts(broker: Broker) -> None:
    shown = present(RQWorker(broker.redis, "worker-1", lease=15), "default:high", "default:low")

    assert shown.name == "worker-1"
    assert shown.queue_names() == ["default:high", "default:low"]
    assert (shown.successful_job_count, shown.failed_job_count) == (2, 1)
    assert shown.get_state() == "idle"


def test_a_registration_whose_answer_was_lost_is_repeated(broker: Broker) -> None:
    worker = RQWorker(broker.redis, "worker-1", lease=15)
    worker.register_birth()  # done; but it does not know

    assert present(worker, "default:high").name == "worker-1"


def test_queues_that_come_and_go_are_shown(broker: Broker) -> None:
    worker = RQWorker(broker.redis, "worker-1", lease=15)
    present(worker, "default:high")

    assert present(worker, "mail:high").queue_names() == ["mail:high"]


def test_it_is_shown_again_after_redis_has_lost_everything(broker: Broker) -> None:
    worker = RQWorker(broker.redis, "worker-1", lease=15)
    present(worker, "default:high")
    broker.redis.flushall()

    assert present(worker, "default:high").queue_names() == ["default:high"]


def test_it_learns_that_rq_suspends_its_workers(broker: Broker) -> None:
    worker = RQWorker(broker.redis, "worker-1", lease=15)
    suspend(broker.redis)

    assert present(worker, "default:high").get_state() == "suspended"
    assert worker.is_suspended
