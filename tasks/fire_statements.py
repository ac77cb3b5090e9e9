"""The statements with which schedules fire, each for many schedules at once."""

from typing import Any, cast

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    ColumnElement,
    Table,
    Text,
    Uuid,
    bindparam,
    func,
    select,
    text,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert

from tasks import zones
from tasks.models import Schedule, ScheduleFire

schedule_table = cast(Table, Schedule.__table__)
_fire_table = cast(Table, ScheduleFire.__table__)

MOMENTS = ARRAY(TIMESTAMP(timezone=True))


def _texts(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=ARRAY(Text))


_new = (
    func.unnest(
        sql_cast(_texts("schedule_ids"), ARRAY(Uuid)),
        bindparam("scheduled_for", type_=MOMENTS),
        _texts("outcomes"),
        _texts("reasons"),
        sql_cast(_texts("task_ids"), ARRAY(Uuid)),
    )
    .table_valued("schedule_id", "scheduled_for", "outcome", "reason", "task_id")
    .render_derived(name="new")
)
_insert = insert(_fire_table).from_select(
    ["schedule_id", "scheduled_for", "outcome", "reason", "task_id"], select(_new)
)
WRITE = _insert.on_conflict_do_update(
    index_elements=[_fire_table.c.schedule_id, _fire_table.c.scheduled_for],
    set_={
        "fired_at": func.now(),
        "outcome": _insert.excluded.outcome,
        "reason": _insert.excluded.reason,
        "task_id": _insert.excluded.task_id,
    },
    where=_fire_table.c.outcome == func.any(_texts("over")),
).returning(_fire_table.c.task_id)

_advance = (
    func.unnest(
        sql_cast(_texts("ids"), ARRAY(Uuid)),
        bindparam("decided_until", type_=MOMENTS),
        bindparam("next_fire_at", type_=MOMENTS),
        bindparam("last_fire_at", type_=MOMENTS),
    )
    .table_valued("id", "decided_until", "next_fire_at", "last_fire_at")
    .render_derived(name="new")
)
ADVANCE = (
    update(schedule_table)
    .where(schedule_table.c.id == _advance.c.id)
    .values(
        decided_until=_advance.c.decided_until,
        next_fire_at=_advance.c.next_fire_at,
        last_fire_at=func.coalesce(_advance.c.last_fire_at, schedule_table.c.last_fire_at),
        zone_version=zones.VERSION,
    )
)

UNFINISHED = text(
    "SELECT schedule_id, id FROM tasks"
    " WHERE schedule_id = ANY(CAST(:ids AS uuid[])) AND finished_at IS NULL ORDER BY scheduled_for"
)
WAITS = text(
    "SELECT schedule_id FROM schedule_fires"
    " WHERE schedule_id = ANY(CAST(:ids AS uuid[])) AND outcome = 'waiting'"
)
READY = text("""
    SELECT fires.schedule_id, fires.scheduled_for
    FROM schedule_fires AS fires JOIN schedules ON schedules.id = fires.schedule_id
    WHERE fires.outcome = 'waiting' AND NOT schedules.paused AND NOT EXISTS (
        SELECT FROM tasks WHERE tasks.schedule_id = fires.schedule_id AND finished_at IS NULL
    )
    ORDER BY fires.scheduled_for LIMIT :limit
    FOR UPDATE OF schedules SKIP LOCKED
""")
FAILING = text("""
    SELECT schedules.id, schedules.name, schedules.pause_after_failures
    FROM schedules CROSS JOIN LATERAL (
        SELECT count(*) AS ended, bool_and(status = 'failed') AS failed
        FROM (
            SELECT status, row_number() OVER (ORDER BY scheduled_for DESC) AS number
            FROM tasks
            WHERE schedule_id = schedules.id AND status IN ('succeeded', 'failed')
              AND created_at >= schedules.failures_from
            ORDER BY scheduled_for DESC LIMIT 100
        ) AS latest
        WHERE number <= schedules.pause_after_failures
    ) AS tally
    WHERE schedules.pause_after_failures IS NOT NULL AND NOT schedules.paused
      AND (:all OR schedules.id = ANY(CAST(:ids AS uuid[])))
      AND tally.ended >= schedules.pause_after_failures AND tally.failed
    FOR UPDATE OF schedules SKIP LOCKED
""")
