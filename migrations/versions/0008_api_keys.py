"""Who may ask for what, and an audit that nobody rewrites."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: None = None
depends_on: None = None

MOMENT = postgresql.TIMESTAMP(timezone=True)

APPEND_ONLY = """
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
"""


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("queue_names", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("submit_rate", sa.Double(), nullable=True),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("last_used_at", MOMENT, nullable=True),
        sa.CheckConstraint("id ~ '^[a-z0-9]{10}$'", name=op.f("api_keys_id_has_shape_check")),
        sa.CheckConstraint("cardinality(scopes) > 0", name=op.f("api_keys_has_scope_check")),
        sa.CheckConstraint("submit_rate > 0", name=op.f("api_keys_rate_is_positive_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pkey")),
    )
    op.create_table(
        "api_key_secrets",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "octet_length(hash) = 32", name=op.f("api_key_secrets_hash_is_sha256_check")
        ),
        sa.ForeignKeyConstraint(
            ["key_id"], ["api_keys.id"], name=op.f("api_key_secrets_key_id_fkey")
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("api_key_secrets_pkey")),
    )
    op.create_index("api_key_secrets_of_key", "api_key_secrets", ["key_id"])
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_is_append_only ON audit; DROP FUNCTION audit_is_append_only();")
    op.drop_table("api_key_secrets")
    op.drop_table("api_keys")
