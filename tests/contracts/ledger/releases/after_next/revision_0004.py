"""What the release after it might take away: a column that its predecessor no longer uses. Contracts.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
works_from = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take away what only revision 0002 needed."""
    op.drop_column("tracewatch_traces", "session_id")
