"""Everything that may break: the table of faults, a file for each place."""

from chaos.faults import (
    backlog,
    everything,
    horses,
    network,
    postgres,
    redis,
    scheduler,
    web,
    workers,
)
from chaos.faults.fault import TABLE, Fault

__all__ = [
    "TABLE",
    "Fault",
    "backlog",
    "everything",
    "horses",
    "network",
    "postgres",
    "redis",
    "scheduler",
    "web",
    "workers",
]
