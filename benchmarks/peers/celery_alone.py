"""Celery without a record or results; `python -m celery_alone 5000` enqueues so many."""

import os
import sys

from celery import Celery
from ticks import tick

app = Celery("tasks", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="nothing")
def nothing() -> None:
    tick()


if __name__ == "__main__":
    with app.producer_or_acquire() as producer:
        for _ in range(int(sys.argv[1])):
            nothing.apply_async(producer=producer)
