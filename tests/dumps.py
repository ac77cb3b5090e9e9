"""Everything a server holds, as a thief of its disk would read it."""

from __future__ import annotations

import subprocess

import redis

from dev import programs


def database_dump(url: str) -> bytes:
    """All of a database, as `pg_dump` writes it."""
    folder = programs.postgres()
    assert folder is not None
    plain = url.replace("postgresql+psycopg2://", "postgresql://")
    return subprocess.run([folder / "pg_dump", plain], capture_output=True, check=True).stdout


def redis_dump(url: str) -> bytes:
    """Every key and value of Redis, whatever their type."""
    client = redis.Redis.from_url(url)
    held = b""
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        read = {
            b"string": lambda key=key: client.get(key),
            b"list": lambda key=key: client.lrange(key, 0, -1),
            b"set": lambda key=key: client.smembers(key),
            b"zset": lambda key=key: client.zrange(key, 0, -1, withscores=True),
            b"hash": lambda key=key: client.hgetall(key),
            b"stream": lambda key=key: client.xrange(key),
        }
        held += key + b" " + repr(read[kind]()).encode() + b"\n"
    client.close()
    return held
