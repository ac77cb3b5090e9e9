"""Lists by any of kind, queue, status and priority are read from one index."""

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_index(
        "tasks_listed",
        "tasks",
        ["name", "queue_name", "status", "priority", "id"],
        unique=False,
    )
    for name in ("by_name", "by_queue", "failed", "cancelled"):
        op.drop_index(f"tasks_{name}", table_name="tasks")


def downgrade() -> None:
    op.create_index("tasks_by_name", "tasks", ["name", "id"], unique=False)
    op.create_index("tasks_by_queue", "tasks", ["queue_name", "id"], unique=False)
    for status in ("failed", "cancelled"):
        op.create_index(
            f"tasks_{status}",
            "tasks",
            ["id"],
            unique=False,
            postgresql_where=sa.text(f"status = '{status}'"),
        )
    op.drop_index("tasks_listed", table_name="tasks")
