"""Counting the moves of a set takes time in proportion to the set."""

from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    # A connection plans the function's join once, for the set it meets first. For one row that is a
    # nested loop, which then compares each row of every later set with all of its others.
    op.execute("ALTER FUNCTION tally_tasks() SET enable_nestloop = off")


def downgrade() -> None:
    op.execute("ALTER FUNCTION tally_tasks() RESET enable_nestloop")
