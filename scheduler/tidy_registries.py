"""Duty: RQ's registries show nothing that is over.

They are a mirror for people and tools. RQ tidies them by rules of its own, which take a paused
worker's job for a failed one, and only when somebody looks.
"""

from dataclasses import dataclass, field

from tasks import backlog, clock, inspection
from tasks.broker import Broker
from tasks.database import sessions

LIMIT = 1000  # entries of one registry that are looked at in one round


@dataclass
class Shown:
    """What RQ showed as started in the last round although it did not run."""

    wrongly: set[tuple[str, bytes]] = field(default_factory=set)  # queue, member of the registry


def tidy_registries(broker: Broker, shown: Shown) -> int:
    """Return how many entries were removed. Raises redis-py's errors."""
    queues = broker.queues()
    if not queues:
        return 0
    gone = inspection.forget_shown(broker.redis, queues, int(clock.now().timestamp()))
    started = inspection.started(broker.redis, queues, LIMIT)
    if not started:
        return gone
    with sessions.begin() as session:
        running = backlog.running(session, list(started.values()))
    wrongly = {entry for entry, id in started.items() if id not in running}
    twice = wrongly & shown.wrongly  # once may be a worker that is about to show the end itself
    inspection.forget_started(broker.redis, twice)
    shown.wrongly = wrongly - twice
    return gone + len(twice)
