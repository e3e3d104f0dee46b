"""What a next release might add: a column that may be null, a table. Expands only.

Revision ID: 9001
Revises: the newest one of this release
"""

import sqlalchemy as sa
from alembic import op

from monitor.ledger.revisions import OURS

revision = "9001"
down_revision = OURS.head
works_from = OURS.head
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what this release lacks."""
    op.add_column("tracewatch_traces", sa.Column("tenant", sa.Text()))
    op.create_table(
        "tracewatch_tenants",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
