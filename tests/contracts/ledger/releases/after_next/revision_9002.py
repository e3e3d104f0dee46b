"""What the release after it might take away: a column that its predecessor no longer uses. Contracts.

Revision ID: 9002
Revises: 9001
"""

from alembic import op

revision = "9002"
down_revision = "9001"
works_from = "9001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take away what only this release needed."""
    op.drop_column("tracewatch_traces", "session_id")
