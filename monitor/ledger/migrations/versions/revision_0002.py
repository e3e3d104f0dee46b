"""Spend, running replicas, and which older code can work with the schema. Expands only.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
works_from = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what revision 0001 lacks."""
    op.create_index("tracewatch_traces_event_time", "tracewatch_traces", ["event_time_ms"], unique=False)
    op.create_index("tracewatch_verdicts_judged", "tracewatch_verdicts", ["judged_at_ms"], unique=False)
    op.create_table(
        "tracewatch_spend",
        sa.Column("day", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("microdollars", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "purpose"),
    )
    op.create_table(
        "tracewatch_replicas",
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("holder"),
    )
    compatibility = op.create_table(
        "tracewatch_compatibility",
        sa.Column("works_from", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("works_from"),
    )
    op.bulk_insert(compatibility, [{"works_from": "0001"}])


def downgrade() -> None:
    """Take it away again."""
    for table in ("compatibility", "replicas", "spend"):
        op.drop_table(f"tracewatch_{table}")
    op.drop_index("tracewatch_verdicts_judged", table_name="tracewatch_verdicts")
    op.drop_index("tracewatch_traces_event_time", table_name="tracewatch_traces")
