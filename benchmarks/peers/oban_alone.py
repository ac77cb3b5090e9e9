"""oban, a hundred jobs at a time: `install`, `work`, or how many to enqueue."""

import asyncio
import os
import signal
import sys

import uvloop
from oban import Oban, worker
from oban.schema import install as install_schema
from psycopg_pool import AsyncConnectionPool
from ticks import tick

LIMIT = 100  # jobs at a time in one process


@worker(queue="default")
class Nothing:
    async def process(self, job: object) -> None:
        tick()


async def work() -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with pool() as connections, Oban(pool=connections, queues={"default": LIMIT}):
        await stopping.wait()


async def install() -> None:
    async with pool() as connections:
        await install_schema(connections)


async def enqueue(count: int) -> None:
    async with pool() as connections:
        oban = Oban(pool=connections)
        for begin in range(0, count, 1000):
            size = min(1000, count - begin)
            await oban.enqueue_many(Nothing.new() for _ in range(size))


def pool() -> AsyncConnectionPool:
    return AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=10, open=False)


if __name__ == "__main__":
    what = {"install": install, "work": work}.get(sys.argv[1])
    uvloop.run(what() if what else enqueue(int(sys.argv[1])))
