"""A task is one row: the promise."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "payload", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("queue_name", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("run_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("timeout", sa.Double(), nullable=False),
        sa.Column("max_retries", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("crashes", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("pending_since", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column(
            "error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column(
            "progress", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column(
            "labels",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("schedule_id", sa.Uuid(), nullable=True),
        sa.Column("scheduled_for", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status IN ('cancelled', 'failed', 'succeeded')) = (finished_at IS NOT NULL)",
            name=op.f("tasks_finished_has_time_check"),
        ),
        sa.CheckConstraint(
            "priority IN ('critical', 'high', 'normal', 'low')", name=op.f("tasks_priority_check")
        ),
        sa.CheckConstraint(
            "result IS NULL OR status = 'succeeded'", name=op.f("tasks_result_means_success_check")
        ),
        sa.CheckConstraint(
            "status <> 'pending' OR pending_since IS NOT NULL",
            name=op.f("tasks_pending_has_time_check"),
        ),
        sa.CheckConstraint(
            "status <> 'running' OR (worker_id IS NOT NULL AND started_at IS NOT NULL AND attempt > 0)",
            name=op.f("tasks_running_has_holder_check"),
        ),
        sa.CheckConstraint(
            "status <> 'scheduled' OR run_at IS NOT NULL",
            name=op.f("tasks_scheduled_has_time_check"),
        ),
        sa.CheckConstraint(
            "status IN ('scheduled', 'pending', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("tasks_status_check"),
        ),
        sa.CheckConstraint(
            "(schedule_id IS NULL) = (scheduled_for IS NULL)",
            name=op.f("tasks_fired_for_tick_check"),
        ),
        sa.CheckConstraint(
            "attempt >= 0 AND failures >= 0 AND crashes >= 0 AND max_retries >= 0 AND timeout > 0",
            name=op.f("tasks_counts_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("tasks_pkey")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index("tasks_by_name", "tasks", ["name", "id"], unique=False)
    op.create_index("tasks_by_queue", "tasks", ["queue_name", "id"], unique=False)
    op.create_index(
        "tasks_cancelled",
        "tasks",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'cancelled'"),
    )
    op.create_index(
        "tasks_due",
        "tasks",
        ["run_at"],
        unique=False,
        postgresql_where=sa.text("status = 'scheduled'"),
    )
    op.create_index(
        "tasks_expiring",
        "tasks",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("expires_at IS NOT NULL AND status IN ('scheduled', 'pending')"),
    )
    op.create_index(
        "tasks_failed", "tasks", ["id"], unique=False, postgresql_where=sa.text("status = 'failed'")
    )
    op.create_index(
        "tasks_finished",
        "tasks",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "tasks_held",
        "tasks",
        ["worker_id"],
        unique=False,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "tasks_labelled",
        "tasks",
        ["labels"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=sa.text("labels <> '{}'::jsonb"),
    )
    op.create_index(
        "tasks_of_tick",
        "tasks",
        ["schedule_id", "scheduled_for"],
        unique=True,
        postgresql_where=sa.text("schedule_id IS NOT NULL"),
    )
    op.create_index(
        "tasks_pending",
        "tasks",
        ["queue_name", "priority", "pending_since"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    # The hot table is vacuumed by absolute amounts, so that its cost stays flat as it grows.
    op.execute(
        "ALTER TABLE tasks SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,"
        " autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000,"
        " autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000,"
        " autovacuum_vacuum_cost_delay = 0)"
    )


def downgrade() -> None:
    op.drop_table("tasks")
