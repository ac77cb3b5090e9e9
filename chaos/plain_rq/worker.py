"""The plain service's worker: a stock `rq worker` that imported the handlers before it forks."""

from __future__ import annotations

import os

from redis import Redis
from rq import Worker

from chaos.plain_rq import jobs

QUEUES = ["critical", "high", "normal", "low"]

if __name__ == "__main__":
    print(f"running {jobs.run.__module__}")
    Worker(QUEUES, connection=Redis.from_url(os.environ["REDIS_URL"])).work(with_scheduler=True)
