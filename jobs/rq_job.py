"""RQ's job, made harmless: JSON only, one function only, no callbacks."""

from typing import Any

from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from tasks.scripts import ENTRY_POINT


def _ignore(job: "Job", value: Any) -> None:
    """What a hash wants to set is not taken over."""


def _always(value: Any) -> Any:
    return property(lambda job: value, _ignore)


class Job(RQJob):
    """A job may name nothing but our entry point, whatever stands in its hash.

    RQ imports the function, the callbacks and the serializer that a hash names: whoever can write
    to Redis could run anything. `rq worker -j jobs.rq_job.Job -S rq.serializers.JSONSerializer`
    uses this class.
    """

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None):
        super().__init__(id, connection, JSONSerializer)

    # RQ reads these through properties that import what the hash names; ours name nothing else.
    func_name = _always(ENTRY_POINT)
    instance = _always(None)
    success_callback = _always(None)
    failure_callback = _always(None)
    stopped_callback = _always(None)

    @property
    def func(self) -> Any:
        from jobs import run  # the entry point, and never what the hash names

        return run

    args = property(lambda self: [self.id], _ignore)  # the task id is all a job carries
    kwargs = property(lambda self: {}, _ignore)
