"""Labels have rows of their own, so that lists by label are read in order."""

import sqlalchemy as sa
from alembic import op

# Letters that the index holds; `tasks.models` has the same.
LENGTH = 256

OF_ROWS = f"""
SELECT DISTINCT left(label.key, {LENGTH}) AS key, left(label.value, {LENGTH}) AS value, rows.id
FROM %s AS rows, jsonb_each_text(rows.labels) AS label WHERE rows.labels <> '{{}}'
"""
# Deleted one by one: a plan for many at once may read the whole table.
LABEL_TASKS = f"""
CREATE FUNCTION label_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO task_labels (key, value, task_id) {OF_ROWS % "new_rows"};
    ELSE
        FOR gone IN {OF_ROWS % "old_rows"} LOOP
            DELETE FROM task_labels
            WHERE key = gone.key AND value = gone.value AND task_id = gone.id;
        END LOOP;
    END IF;
    RETURN NULL;
END $$
"""

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "task_labels",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("key", "value", "task_id", name=op.f("task_labels_pkey")),
    )
    op.execute(f"INSERT INTO task_labels (key, value, task_id) {OF_ROWS % 'tasks'}")
    op.execute(LABEL_TASKS)
    for event, rows in (("insert", "NEW TABLE AS new_rows"), ("delete", "OLD TABLE AS old_rows")):
        op.execute(
            f"CREATE TRIGGER label_{event} AFTER {event.upper()} ON tasks REFERENCING {rows}"
            " FOR EACH STATEMENT EXECUTE FUNCTION label_tasks()"
        )
    op.drop_index("tasks_labelled", table_name="tasks")


def downgrade() -> None:
    op.create_index(
        "tasks_labelled",
        "tasks",
        ["labels"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=sa.text("labels <> '{}'::jsonb"),
    )
    for event in ("insert", "delete"):
        op.execute(f"DROP TRIGGER label_{event} ON tasks")
    op.execute("DROP FUNCTION label_tasks()")
    op.drop_table("task_labels")
