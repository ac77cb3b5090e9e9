"""Keeping duties: each at its time, none in the way of another, whatever goes wrong."""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from scheduler.stopping import Stop
from tasks.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

LOOK_EVERY = 0.25  # seconds between looks at the agenda when nothing is known to be due sooner
LONGEST_PAUSE = 1.0  # … until the next try while a server is away
NEVER = float("inf")
AFTER_A_MISTAKE = 5.0  # … before a duty that raised something else is tried again


@dataclass(frozen=True, kw_only=True)
class Duty:
    """Something the clock sees to, in rounds that are short.

    A duty is kept every `every` seconds; one that is `announced` only when the agenda says that
    it is due. A round that did `full` left more to do, and the next follows after `pause` seconds.
    """

    name: str
    keep: Callable[[], int]  # one round; returns how much it did
    announced: bool = False
    every: float = 0.0  # seconds
    full: int = 1_000_000
    pause: float = 0.0  # seconds
    level: int = logging.DEBUG  # of the log line about a round that did something


Look = Callable[[], Mapping[str, float]]  # name of a duty → seconds until it is due


class Rounds:
    """Some duties, kept in turn by one thread."""

    def __init__(self, duties: Sequence[Duty], look: Look | None = None) -> None:
        self._duties, self._look = duties, look or dict
        self._longest_sleep = LOOK_EVERY if look else NEVER
        self._rests_until = {duty.name: 0.0 for duty in duties}  # monotonic
        self._away_since: float | None = None  # monotonic: when a server stopped answering

    def keep(self, stop: Stop) -> None:
        """Keep the duties until asked to stop."""
        while not stop.asked:
            stop.sleep(self.go(stop))
        log.debug("no more rounds")

    def go(self, stop: Stop) -> float:
        """Keep whatever is due now; return for how many seconds nothing more will be."""
        try:
            looked = time.monotonic()
            due = {name: looked + ahead for name, ahead in self._look().items()}
            for duty in self._duties:
                if not stop.asked and self._next(duty, due) <= time.monotonic():
                    self._keep(duty)
        except (DatabaseUnavailable, RedisError) as error:
            return self._wait_for_server(error)
        if self._away_since is not None:
            log.info("back after %.1f s", time.monotonic() - self._away_since)
            self._away_since = None
        soonest = min(self._next(duty, due) for duty in self._duties)
        return min(self._longest_sleep, soonest - time.monotonic())

    def _next(self, duty: Duty, due: Mapping[str, float]) -> float:
        """When this duty is to be kept, in monotonic seconds."""
        rests_until = self._rests_until[duty.name]
        return max(rests_until, due.get(duty.name, NEVER)) if duty.announced else rests_until

    def _keep(self, duty: Duty) -> None:
        began = time.monotonic()
        try:
            done = duty.keep()
        except (DatabaseUnavailable, RedisError):
            raise
        except Exception:  # a mistake in one duty must not end the others
            log.exception("%s failed", duty.name)
            self._rests_until[duty.name] = time.monotonic() + AFTER_A_MISTAKE
            return
        now = time.monotonic()
        if done:
            log.log(duty.level, "%s: %d in %.3f s", duty.name, done, now - began)
        rest = duty.pause if done >= duty.full else duty.every
        if duty.announced and not done:  # somebody else holds what is due: look again later
            rest = max(rest, LOOK_EVERY)
        self._rests_until[duty.name] = now + rest

    def _wait_for_server(self, error: Exception) -> float:
        """Say once that a server is away; return when to try again, with jitter."""
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.warning("%s; trying again until it is back (%s)", error, error.__cause__)
        return random.uniform(LONGEST_PAUSE / 10, LONGEST_PAUSE)  # noqa: S311  # spreads load
