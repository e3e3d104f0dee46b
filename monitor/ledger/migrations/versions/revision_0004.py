"""Traces are found by their inputs, for the proof of a regression. Expands only.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
works_from = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what revision 0003 lacks."""
    op.create_index("tracewatch_traces_inputs_digest", "tracewatch_traces", ["inputs_digest"], unique=False)


def downgrade() -> None:
    """Take it away again."""
    op.drop_index("tracewatch_traces_inputs_digest", table_name="tracewatch_traces")
