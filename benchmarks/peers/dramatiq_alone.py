"""Dramatiq without results; `python -m dramatiq_alone 5000` enqueues so many."""

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from ticks import tick

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor
def nothing() -> None:
    tick()


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        nothing.send()
