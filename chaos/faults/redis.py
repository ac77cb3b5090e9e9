"""Faults of Redis: it dies, forgets, hangs, is full, is spoiled."""

from __future__ import annotations

import shutil
from contextlib import suppress
from uuid import uuid4

from redis.exceptions import RedisError

from chaos.faults.fault import fault
from chaos.scene import Scene

DAMAGED = b"\x80\x04not what anybody wrote"


@fault("redis", "kill -9, with nothing on disk", 3)
def kill(scene: Scene) -> None:
    redis = scene.stage.redis
    redis.kill()
    scene.linger(1.5)
    redis.start()


@fault("redis", "kill -9, with an append-only file", 4)
def kill_with_persistence(scene: Scene) -> None:
    """It comes back with what it had a second ago: what was popped since is there again."""
    redis = scene.stage.redis
    with scene.stage.redis_client() as client:
        client.config_set("appendonly", "yes")
    redis.settings["appendonly"] = "yes"
    try:
        scene.linger(1.5)
    finally:
        redis.kill()
        redis.start()
        redis.settings["appendonly"] = "no"
        with scene.stage.redis_client() as client:
            client.config_set("appendonly", "no")
        shutil.rmtree(redis.data / "appendonlydir", ignore_errors=True)
        for file in redis.data.glob("appendonly.aof*"):
            file.unlink()


@fault("redis", "restart in order", 3)
def restart(scene: Scene) -> None:
    scene.stage.redis.restart()


@fault("redis", "FLUSHALL again and again", 7)
def flush(scene: Scene) -> None:
    for _ in range(3):
        with scene.stage.redis_client() as client:
            client.flushall()
        scene.linger(2)


@fault("redis", "restored from an old dump", 5)
def restore_old_dump(scene: Scene) -> None:
    """It remembers what was true some seconds ago: jobs long done, and none of the new."""
    redis = scene.stage.redis
    dump, kept = redis.data / "dump.rdb", redis.folder / "old.rdb"
    with scene.stage.redis_client() as client:
        client.save()
    shutil.copy(dump, kept)
    scene.linger(3)
    redis.kill()
    shutil.move(kept, dump)
    redis.start()
    dump.unlink()


@fault("redis", "hung: SIGSTOP", 4)
def hang(scene: Scene) -> None:
    redis = scene.stage.redis
    redis.pause()
    try:
        scene.linger(4)
    finally:
        redis.resume()


@fault("redis", "hung: CLIENT PAUSE", 3)
def client_pause(scene: Scene) -> None:
    with scene.stage.redis_client() as client:
        client.client_pause(3000)
    scene.linger(3)


@fault("redis", "CLIENT KILL again and again", 3)
def client_kill(scene: Scene) -> None:
    for _ in range(10):
        with scene.stage.redis_client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub", skipme=True)
        scene.linger(0.3)


@fault("redis", "out of memory", 4)
def out_of_memory(scene: Scene) -> None:
    with scene.stage.redis_client() as client:
        client.config_set("maxmemory", "1mb")
    try:
        scene.linger(4)
    finally:
        with scene.stage.redis_client() as client:
            client.config_set("maxmemory", "0")


@fault("redis", "SCRIPT FLUSH again and again", 2)
def script_flush(scene: Scene) -> None:
    for _ in range(10):
        with scene.stage.redis_client() as client:
            client.script_flush()
        scene.linger(0.2)


@fault("redis", "malformed and hostile jobs", 3, service_only=True)
def plant(scene: Scene) -> None:
    """Whoever can write to Redis must not be able to run anything, or to stop a worker."""
    spoiled = scene.stage.folder / "hostile"
    evil = f'["os.system",null,["touch {spoiled}"],{{}}]'.encode()
    with scene.stage.redis_client() as client:
        for queue in ("default:normal", "default:critical", "other:low"):
            ids = ["not-an-id", "../../etc", uuid4().hex, str(uuid4()), "x" * 5000]
            for id in ids:
                client.hset(f"rq:job:{id}", mapping={"data": evil, "status": "queued"})
            client.set(f"rq:job:{uuid4()}", "no hash at all")
            client.hset(f"rq:job:{uuid4()}", mapping={"data": DAMAGED, "created_at": "yesterday"})
            client.lpush(f"rq:queue:{queue}", *ids, b"\xff\xfe", "")
            client.sadd("rq:queues", f"rq:queue:{queue}", b"rq:queue:\xff", "rq:queue:nonsense")
        spoil_some(client)
    scene.linger(3)
    if spoiled.exists():
        scene.notes.append("a hostile job was run")


@fault("redis", "half of all jobs vanish", 3, service_only=True)
def lose_half(scene: Scene) -> None:
    """Hashes and lists, as after a partial restore."""
    with scene.stage.redis_client() as client:
        for key in list(client.scan_iter("rq:*")):
            if scene.chance.random() < 0.5:
                client.delete(key)
    scene.linger(2)


def spoil_some(client: object) -> None:
    """Damage the hashes of some jobs that wait."""
    with suppress(RedisError):
        for id in client.lrange("rq:queue:default:normal", -10, -1):  # type: ignore[attr-defined]  # redis-py's client
            client.hset(b"rq:job:" + id, "data", DAMAGED)  # type: ignore[attr-defined]  # the same
