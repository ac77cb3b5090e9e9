"""The witness: a trigger that notes every change of status, so that nothing can be hushed up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from chaos.stage import Stage

INSTALL = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.history (
    seq bigserial, at timestamptz NOT NULL DEFAULT clock_timestamp(), task_id uuid NOT NULL,
    was text, is_now text NOT NULL, attempt int NOT NULL, worker_id text, run_at timestamptz
);
CREATE TABLE chaos.effects (task_id uuid NOT NULL, attempt int NOT NULL);
CREATE FUNCTION chaos.witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO chaos.history (task_id, was, is_now, attempt, worker_id, run_at)
        SELECT id, NULL, status, attempt, worker_id, run_at FROM new_rows;
    ELSE
        INSERT INTO chaos.history (task_id, was, is_now, attempt, worker_id, run_at)
        SELECT id, o.status, n.status, n.attempt, n.worker_id, n.run_at
        FROM new_rows AS n JOIN old_rows AS o USING (id) WHERE o.status <> n.status;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER witness_insert AFTER INSERT ON tasks REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.witness();
CREATE TRIGGER witness_update AFTER UPDATE ON tasks
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.witness();
"""


class Change(NamedTuple):
    """One change of a task's status."""

    at: float  # seconds of the epoch, by PostgreSQL's clock
    was: str | None
    is_now: str
    attempt: int
    worker_id: str | None
    run_at: float | None


History = Mapping[str, list[Change]]


def install(stage: Stage) -> None:
    stage.query(INSTALL)


def history(stage: Stage) -> History:
    """The changes of each task, in their order: a row is locked while it changes."""
    found: dict[str, list[Change]] = defaultdict(list)
    rows = stage.query(
        "SELECT task_id::text, extract(epoch FROM at)::float8, was, is_now, attempt, worker_id,"
        " extract(epoch FROM run_at)::float8 FROM chaos.history ORDER BY seq"
    )
    for task_id, *change in rows:
        found[task_id].append(Change(*change))
    return found


def effects(stage: Stage) -> Mapping[str, list[int]]:
    """By task, the attempts whose effect was committed."""
    found: dict[str, list[int]] = defaultdict(list)
    for task_id, attempt in stage.query("SELECT task_id::text, attempt FROM chaos.effects"):
        found[task_id].append(attempt)
    return found
