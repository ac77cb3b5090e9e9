"""Every change of status is counted, and Redis's lives are told apart."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# Upper bounds, in seconds, of the histogram buckets of waits and runs; `tasks.stats` has the same.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

COUNT_MOVES = f"""
CREATE FUNCTION tally_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tally_deltas (name, queue_name, priority, from_status, to_status, bucket, n, seconds)
        SELECT name, queue_name, priority, '', status, -1, count(*), 0
        FROM new_rows GROUP BY name, queue_name, priority, status;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tally_deltas (name, queue_name, priority, from_status, to_status, bucket, n, seconds)
        SELECT name, queue_name, priority, status, '', -1, count(*), 0
        FROM old_rows GROUP BY name, queue_name, priority, status;
    ELSE
        INSERT INTO tally_deltas (name, queue_name, priority, from_status, to_status, bucket, n, seconds)
        SELECT name, queue_name, priority, before, after,
               coalesce(width_bucket(took, ARRAY[{", ".join(map(str, BUCKETS))}]::float8[]), -1),
               count(*), coalesce(sum(took), 0)
        FROM (
            SELECT a.name, a.queue_name, a.priority, b.status AS before, a.status AS after,
                   CASE
                       WHEN a.status = 'running'
                       THEN greatest(0, extract(epoch FROM a.started_at - b.pending_since))
                       WHEN b.status = 'running'
                       THEN greatest(0, extract(epoch FROM a.updated_at - b.started_at))
                   END::float8 AS took
            FROM new_rows AS a JOIN old_rows AS b USING (id)
            WHERE a.status <> b.status
        ) AS moved
        GROUP BY 1, 2, 3, 4, 5, 6;
    END IF;
    RETURN NULL;
END $$
"""

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "tally_deltas",
        sa.Column(
            "at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("queue_name", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=False),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
    )
    op.create_table(
        "tallies",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("queue_name", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=False),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(
            "name",
            "queue_name",
            "priority",
            "from_status",
            "to_status",
            "bucket",
            name=op.f("tallies_pkey"),
        ),
    )
    op.create_table(
        "queue_stats",
        sa.Column("minute", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("queue_name", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("submitted", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), nullable=False),
        sa.Column("retried", sa.BigInteger(), nullable=False),
        sa.Column("wait_seconds", sa.Double(), nullable=False),
        sa.Column("run_seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "queue_name", "priority", name=op.f("queue_stats_pkey")),
    )
    op.create_table(
        "redis_memory",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.CheckConstraint("one", name=op.f("redis_memory_only_row_check")),
        sa.PrimaryKeyConstraint("one", name=op.f("redis_memory_pkey")),
    )
    op.execute(COUNT_MOVES)
    for event, rows in (
        ("INSERT", "NEW TABLE AS new_rows"),
        ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
        ("DELETE", "OLD TABLE AS old_rows"),
    ):
        op.execute(
            f"CREATE TRIGGER tally_{event.lower()} AFTER {event} ON tasks REFERENCING {rows}"
            " FOR EACH STATEMENT EXECUTE FUNCTION tally_tasks()"
        )


def downgrade() -> None:
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER tally_{event} ON tasks")
    op.execute("DROP FUNCTION tally_tasks()")
    op.drop_table("redis_memory")
    op.drop_table("queue_stats")
    op.drop_table("tallies")
    op.drop_table("tally_deltas")
