"""Recurring schedules, and what became of each of their ticks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: None = None
depends_on: None = None

MOMENT = postgresql.TIMESTAMP(timezone=True)
NOW = sa.text("now()")
DOCUMENT = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("task_name", sa.Text(), nullable=False),
        sa.Column("payload", DOCUMENT, nullable=False),
        sa.Column("queue_name", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("labels", DOCUMENT, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("max_retries", sa.SmallInteger(), nullable=False),
        sa.Column("timeout", sa.Double(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=True),
        sa.Column("every", sa.Double(), nullable=True),
        sa.Column("at", MOMENT, nullable=True),
        sa.Column("timezone", sa.Text(), server_default=sa.text("'UTC'"), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=True),
        sa.Column("ends_at", MOMENT, nullable=True),
        sa.Column("gap", sa.Text(), nullable=False),
        sa.Column("jitter", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("overlap", sa.Text(), nullable=False),
        sa.Column("missed", sa.Text(), nullable=False),
        sa.Column("catchup_window", sa.Double(), nullable=False),
        sa.Column("pause_after_failures", sa.SmallInteger(), nullable=True),
        sa.Column("failures_from", MOMENT, server_default=NOW, nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("decided_until", MOMENT, nullable=False),
        sa.Column("next_fire_at", MOMENT, nullable=True),
        sa.Column("zone_version", sa.Text(), nullable=False),
        sa.Column("last_fire_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "num_nonnulls(cron, every, at) = 1", name=op.f("schedules_one_rule_check")
        ),
        sa.CheckConstraint(
            "priority IN ('critical', 'high', 'normal', 'low')",
            name=op.f("schedules_priority_check"),
        ),
        sa.CheckConstraint("gap IN ('run_after', 'skip')", name=op.f("schedules_gap_check")),
        sa.CheckConstraint(
            "overlap IN ('allow', 'skip', 'queue_one', 'cancel_running')",
            name=op.f("schedules_overlap_check"),
        ),
        sa.CheckConstraint(
            "missed IN ('skip', 'run_once', 'run_all')", name=op.f("schedules_missed_check")
        ),
        sa.CheckConstraint(
            "every >= 1 AND jitter >= 0 AND catchup_window >= 0 AND pause_after_failures > 0 "
            "AND timeout > 0 AND max_retries >= 0",
            name=op.f("schedules_figures_check"),
        ),
        sa.CheckConstraint(
            "NOT (paused AND next_fire_at IS NOT NULL)",
            name=op.f("schedules_paused_fires_never_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("schedules_pkey")),
        sa.UniqueConstraint("name", name=op.f("schedules_name_key")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "schedules_due",
        "schedules",
        ["next_fire_at"],
        postgresql_where=sa.text("next_fire_at IS NOT NULL"),
    )
    op.create_index(
        "schedules_watched",
        "schedules",
        ["id"],
        postgresql_where=sa.text("pause_after_failures IS NOT NULL AND NOT paused"),
    )
    op.create_table(
        "schedule_fires",
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("scheduled_for", MOMENT, nullable=False),
        sa.Column("fired_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('fired', 'waiting', 'skipped_overlap', 'skipped_missed', 'skipped_gap')",
            name=op.f("schedule_fires_outcome_check"),
        ),
        sa.CheckConstraint(
            "(outcome = 'fired') = (task_id IS NOT NULL)",
            name=op.f("schedule_fires_fired_has_task_check"),
        ),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["schedules.id"],
            name=op.f("schedule_fires_schedule_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("schedule_id", "scheduled_for", name=op.f("schedule_fires_pkey")),
    )
    op.create_index(
        "schedule_fires_waiting",
        "schedule_fires",
        ["schedule_id"],
        postgresql_where=sa.text("outcome = 'waiting'"),
    )
    op.create_index("schedule_fires_age", "schedule_fires", ["fired_at"], postgresql_using="brin")
    op.create_table(
        "declared_schedules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("declaration", DOCUMENT, nullable=False),
        sa.Column("synchronised_at", MOMENT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("declared_schedules_pkey")),
    )
    op.create_index(
        "tasks_unfinished_of_schedule",
        "tasks",
        ["schedule_id"],
        postgresql_where=sa.text("schedule_id IS NOT NULL AND finished_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("tasks_unfinished_of_schedule", table_name="tasks")
    op.drop_table("declared_schedules")
    op.drop_table("schedule_fires")
    op.drop_table("schedules")
