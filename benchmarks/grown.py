"""Fill the tables as after a long time of service, by SQL, consistent down to the tallies.

Six days of finished tasks of a few kinds on three queue names, and a backlog on a fourth.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg2
import psycopg2.extras
import redis
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from benchmarks.stage import Place
from settings import database_url
from tasks import backlog, inspection
from tasks.broker import Broker, Delivery
from tasks.lifecycle import Priority

TABLES = ("tasks", "attempts", "task_labels")
AT_A_TIME = 2  # statements at once: as many as there are cores
BACKLOG = "backlog"

# i runs from 1, in the order of time. 2 % failed, 1 % were cancelled before they started, 1 % are
# critical, 10 % high, 10 % low, 10 % carry labels, one in 10,000 is of a rare kind. The oldest
# 0.4 % are of a kind, on a queue and with a label that nothing younger has.
FINISHED = """
INSERT INTO tasks (id, name, payload, queue_name, priority, status, timeout, max_retries, attempt,
    failures, worker_id, pending_since, started_at, finished_at, result, error, labels, created_at,
    updated_at)
SELECT (lpad(to_hex((date_part('epoch', at) * 1000)::bigint), 12, '0')
        || '7' || substr(hex, 1, 3) || '8' || substr(hex, 2, 15))::uuid,
    CASE WHEN old THEN 'bench.retired' WHEN i %% 10000 = 5 THEN 'bench.sleep'
        WHEN i / 5 %% 5 < 3 THEN 'bench.nothing' ELSE 'bench.echo' END,
    '{"text": "what was asked for, in a few words"}',
    CASE WHEN old THEN 'retired'
        ELSE (ARRAY['default', 'mail', 'default', 'reports', 'mail'])[1 + i %% 5] END,
    CASE WHEN chance < 10 THEN 'critical' WHEN chance < 110 THEN 'high'
        WHEN chance < 890 THEN 'normal' ELSE 'low' END,
    status, 300, 0, (status <> 'cancelled')::int, (status = 'failed')::int,
    CASE WHEN status <> 'cancelled' THEN 'worker-' || i %% 4 END,
    at, CASE WHEN status <> 'cancelled' THEN at + interval '50 ms' END, at + interval '70 ms',
    CASE WHEN status = 'succeeded' THEN '"what came of it"'::jsonb END,
    CASE WHEN status = 'failed'
        THEN '{"type": "OSError", "message": "no route", "traceback": ""}'::jsonb END,
    CASE WHEN old THEN '{"era": "old", "region": "eu"}' WHEN i %% 10 = 0
        THEN jsonb_build_object('customer', (i / 10 %% 5000)::text, 'region', 'eu') ELSE '{}' END,
    at, at + interval '70 ms'
FROM (
    SELECT i, old, at, lpad(to_hex(hash), 16, '0') AS hex,
        (hash & 2147483647) %% 1000 AS chance,
        CASE ((hash >> 32) & 2147483647) %% 100
            WHEN 0 THEN 'failed' WHEN 1 THEN 'failed' WHEN 2 THEN 'cancelled' ELSE 'succeeded' END
            AS status
    FROM (
        SELECT i, i <= %(count)s / 250 AS old, hashint8extended(i, 0) AS hash,
            now() - interval '6 days' * (1 - i / (%(count)s + 1)::float8) AS at
        FROM generate_series(%(first)s, %(last)s) AS i
    ) AS numbered
) AS made
"""

PENDING = """
INSERT INTO tasks (id, name, payload, queue_name, priority, status, timeout, max_retries,
    pending_since, created_at, updated_at)
SELECT (lpad(to_hex((date_part('epoch', at) * 1000)::bigint), 12, '0')
        || '7' || substr(hex, 1, 3) || '9' || substr(hex, 2, 15))::uuid,
    'bench.nothing', '{}', %(queue)s, (ARRAY['high', 'normal', 'normal', 'low'])[1 + i %% 4],
    'pending', 300, 0, at, at, at
FROM (
    SELECT i, now() - interval '1 hour' * (1 - i / (%(count)s + 1)::float8) AS at,
        lpad(to_hex(hashint8extended(i, 0)), 16, '0') AS hex
    FROM generate_series(1, %(count)s) AS i
) AS made
"""

ATTEMPTS = """
INSERT INTO attempts
    (task_id, number, worker_id, pending_since, started_at, ended_at, outcome, move, error)
SELECT id, 1, worker_id, pending_since, started_at, finished_at, status,
    CASE status WHEN 'failed' THEN 'fail' ELSE 'succeed' END, error
FROM tasks WHERE attempt > 0
"""

LABELS = """
INSERT INTO task_labels (key, value, task_id)
SELECT key, value, id FROM tasks, jsonb_each_text(labels) WHERE labels <> '{}' ORDER BY 1, 2, 3
"""

# Everybody waited 50 ms and ran 20 ms; the numbers are the buckets of tasks.stats.BUCKETS.
TALLIES = """
INSERT INTO tallies (name, queue_name, priority, from_status, to_status, bucket, n, seconds)
SELECT name, queue_name, priority, before, after, bucket, sum(n), sum(n * each)
FROM (
    SELECT name, queue_name, priority, status, count(*) AS n FROM tasks GROUP BY 1, 2, 3, 4
) AS counted
CROSS JOIN LATERAL (VALUES
    ('', 'pending', -1, 0.0, true),
    ('pending', 'running', 4, 0.05, status IN ('succeeded', 'failed')),
    ('running', status, 2, 0.02, status IN ('succeeded', 'failed')),
    ('pending', status, -1, 0.0, status = 'cancelled')
) AS moves (before, after, bucket, each, made)
WHERE made GROUP BY 1, 2, 3, 4, 5, 6
"""

SECONDARY = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename = 'tasks' AND indexname NOT IN (SELECT conname FROM pg_constraint)
ORDER BY indexdef LIKE '% WHERE %' -- the one of all rows takes longest
"""


def grow(place: Place, finished: int, pending: int) -> None:
    """Fill the tables, and bring the backlog to Redis.

    Without triggers and secondary indexes; these are built afterwards, beside what is derived.
    """
    indexes = place.query(SECONDARY)
    place.query("ALTER TABLE tasks DISABLE TRIGGER USER")
    for name, _ in indexes:
        place.query(f"DROP INDEX {name}")
    part = -(-finished // AT_A_TIME)
    parts = [
        {"count": finished, "first": first, "last": min(finished, first + part - 1)}
        for first in range(1, finished + 1, part)
    ]
    in_turns(
        place,
        *((FINISHED, each) for each in parts),
        (PENDING, {"count": pending, "queue": BACKLOG}),
    )
    largest, *others = [(definition, {}) for _, definition in indexes]
    in_turns(place, largest, (ATTEMPTS, {}), (LABELS, {}), (TALLIES, {}), *others)
    place.query("ALTER TABLE tasks ENABLE TRIGGER USER")
    in_turns(place, *((f"VACUUM (ANALYZE) {table}", {}) for table in TABLES))
    push(place)


def in_turns(place: Place, *statements: tuple[str, Mapping[str, Any]]) -> None:
    """Run these, as many at a time as is useful."""

    def run(statement: str, values: Mapping[str, Any]) -> None:
        with closing(psycopg2.connect(place.database_url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SET synchronous_commit = off")
            cursor.execute(statement, values or None)

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for running in [threads.submit(run, *each) for each in statements]:
            running.result()


def push(place: Place) -> None:
    """Queue the backlog in Redis and note in which life of Redis that was, as the service does."""
    psycopg2.extras.register_uuid()
    rows = place.query(
        "SELECT id, name, queue_name, priority, timeout FROM tasks WHERE status = 'pending'"
        " ORDER BY priority, pending_since"
    )
    deliveries = (delivery(*row) for row in rows)
    with closing(redis.Redis.from_url(place.redis_url)) as client:
        broker = Broker(client)
        while some := list(islice(deliveries, 1000)):
            broker.queue(some)
        epoch = inspection.epoch(client)
    engine = create_engine(database_url(place.database_url))
    with Session(engine) as session, session.begin():
        backlog.remember_epoch(session, epoch)
    engine.dispose()


def delivery(id: UUID, name: str, queue_name: str, priority: str, timeout: float) -> Delivery:
    return Delivery(str(id), name, queue_name, Priority(priority), timeout)
