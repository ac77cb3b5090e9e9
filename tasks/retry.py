"""When to try again: the retry policy of a kind of task."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Growth = Literal["exponential", "linear", "fixed"]


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How often, after what and how long after a failed attempt a task is tried again.

    The wait before retry *n* (from 1) is `first_wait` × factorⁿ⁻¹ (exponential), × n (linear) or
    itself (fixed), at most `max_wait`. With `jitter` the wait is drawn evenly between zero and
    that value ("full jitter", AWS Architecture Blog, "Exponential Backoff And Jitter", 2015), so
    that tasks which failed together do not come back together.

    `max_retries` of None means the service's MAX_RETRY_ATTEMPTS. An exception is tried again if
    it is one of `retry_on` and none of `give_up_on`.
    """

    max_retries: int | None = None
    first_wait: timedelta = timedelta(seconds=1)
    growth: Growth = "exponential"
    factor: float = 2.0
    max_wait: timedelta = timedelta(minutes=10)
    jitter: bool = True
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    give_up_on: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.max_retries is not None and self.max_retries < 0:
            raise ValueError("max_retries cannot be negative.")
        if self.first_wait < timedelta() or self.max_wait < timedelta():
            raise ValueError("A wait cannot be negative.")
        if self.growth not in ("exponential", "linear", "fixed"):
            raise ValueError("growth is one of exponential, linear and fixed.")
        if self.factor < 1:
            raise ValueError("factor is at least 1.")

    def longest_wait(self, retry: int) -> timedelta:
        """The wait before retry number `retry` (from 1), before jitter."""
        if self.growth == "fixed":
            times = 1.0
        elif self.growth == "linear":
            times = float(retry)
        else:  # 2 ** 64 seconds is past any max_wait; the bound keeps the power finite
            times = self.factor ** min(retry - 1, 64)
        seconds = min(self.first_wait.total_seconds() * times, self.max_wait.total_seconds())
        return timedelta(seconds=seconds)

    def wait(self, retry: int) -> timedelta:
        """The wait before retry number `retry` (from 1)."""
        longest = self.longest_wait(retry)
        if not self.jitter:
            return longest
        return random.uniform(0, 1) * longest  # noqa: S311  # spreads load, guards nothing

    def tries_again_after(self, error: BaseException) -> bool:
        """Whether this exception is one that another attempt may cure."""
        return isinstance(error, self.retry_on) and not isinstance(error, self.give_up_on)
