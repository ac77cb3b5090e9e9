"""RQ without a record; `python -m rq_alone 5000` enqueues so many."""

import os
import sys

from redis import Redis
from rq import Queue
from ticks import tick


def nothing() -> None:
    tick()


if __name__ == "__main__":
    queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
    count = int(sys.argv[1])
    queue.enqueue_many([Queue.prepare_data("rq_alone.nothing") for _ in range(count)])
