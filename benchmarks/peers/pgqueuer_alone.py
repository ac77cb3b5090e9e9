"""PgQueuer, every table logged, its default batch: `install`, `work`, or how many to enqueue."""

import os
import sys

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from ticks import tick


async def work() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    queuer = PgQueuer(AsyncpgDriver(connection))

    @queuer.entrypoint("nothing")
    async def nothing(job: Job) -> None:
        tick()

    await queuer.run()


async def install() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


async def enqueue(count: int) -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    queries = Queries(AsyncpgDriver(connection))
    for begin in range(0, count, 1000):
        size = min(1000, count - begin)
        await queries.enqueue(["nothing"] * size, [None] * size, [0] * size)
    await connection.close()


if __name__ == "__main__":
    what = {"install": install, "work": work}.get(sys.argv[1])
    uvloop.run(what() if what else enqueue(int(sys.argv[1])))
