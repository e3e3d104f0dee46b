"""What a next release might add: a column that may be null, a table. Expands only.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
works_from = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what revision 0002 lacks."""
    op.add_column("tracewatch_traces", sa.Column("tenant", sa.Text()))
    op.create_table(
        "tracewatch_tenants",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
