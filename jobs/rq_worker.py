"""What RQ's tools see of a worker: its key, its queues, its state, its counts."""

import os
import socket
from collections.abc import Sequence

from redis import Redis
from rq import worker_registration
from rq.suspension import is_suspended
from rq.worker import BaseWorker, WorkerStatus

from jobs.rq_job import Job
from tasks.failpoints import reach


class RQWorker(BaseWorker):
    """Registered with RQ, and listening to its suspension; RQ has it do nothing."""

    job_class = Job

    def __init__(self, redis: Redis, name: str, *, lease: float) -> None:
        super().__init__(
            [],
            name=name,
            connection=redis,
            job_class=Job,
            serializer="rq.serializers.JSONSerializer",
            worker_ttl=max(2, int(lease)),
            prepare_for_work=False,  # it would ask Redis, which may be away
        )
        self.hostname, self.pid, self.ip_address = socket.gethostname(), os.getpid(), ""
        self.be_called(name)

    @property
    def connection_timeout(self) -> int:
        """RQ would stretch the client's timeout to minutes; ours is set on purpose."""
        return 0

    def be_called(self, name: str) -> None:
        """Go by this name, which nobody has had; `present` then registers it."""
        self.name = name
        self.is_suspended = self._is_registered = self._shows_queues = False

    def present(self, queues: Sequence[str], *, is_busy: bool, succeeded: int, failed: int) -> None:
        """Show how things stand, and learn whether RQ suspends its workers.

        `succeeded` and `failed` count attempts. Raises redis-py's errors.
        """
        if list(queues) != self.queue_names():
            self._shows_queues = False
            self.queues = [
                self.queue_class(name, self.connection, job_class=Job, serializer=self.serializer)
                for name in queues
            ]
        if not self._is_registered or not self.connection.exists(self.key):
            self._register()
        elif not self._shows_queues:
            worker_registration.register(self)
            self.connection.hset(self.key, "queues", ",".join(self.queue_names()))
        self._shows_queues = True
        self.is_suspended = bool(is_suspended(self.connection, self))
        state = WorkerStatus.BUSY if is_busy else WorkerStatus.IDLE
        self.set_state(WorkerStatus.SUSPENDED if self.is_suspended else state)
        done = ["successful_job_count", f"{succeeded}", "failed_job_count", f"{failed}"]
        self.connection.hset(self.key, items=done)
        self.heartbeat()

    def _register(self) -> None:
        self.ip_address = str(self.connection.client_info()["addr"]).rpartition(":")[0]
        # The name is ours alone: if there is a worker of it, the answer to an earlier
        # registration was lost, and RQ would refuse another.
        self.connection.unlink(self.key)
        reach("present", "before")
        self.register_birth()
        reach("present", "after")
        self._is_registered = True
