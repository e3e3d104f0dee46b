"""Blocks and series of verdicts, people's labels, frozen rows, deliveries of alerts, lag. Expands only.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
works_from = "0001"
branch_labels = None
depends_on = None

_TABLES = ("deliveries", "frozen_rows", "labels", "alarm_clock", "series", "blocks")


def upgrade() -> None:
    """Add what revision 0002 lacks."""
    op.add_column("tracewatch_verdicts", sa.Column("block", sa.BigInteger()))
    op.create_index(
        "tracewatch_verdicts_open",
        "tracewatch_verdicts",
        ["event_time_ms"],
        unique=False,
        sqlite_where=sa.text("block IS NULL"),
        postgresql_where=sa.text("block IS NULL"),
    )
    op.create_index("tracewatch_verdicts_block", "tracewatch_verdicts", ["block"], unique=False)
    op.add_column("tracewatch_positions", sa.Column("lag", sa.BigInteger()))
    op.add_column("tracewatch_positions", sa.Column("lag_seen_ms", sa.BigInteger()))
    _create_series()
    _create_labels()
    op.create_table(
        "tracewatch_deliveries",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("transition", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_ms", sa.BigInteger(), nullable=False),
        sa.Column("delivered_ms", sa.BigInteger()),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("alert_id", "receiver", "transition"),
    )
    op.create_index("tracewatch_deliveries_created", "tracewatch_deliveries", ["created_ms"], unique=False)


def _create_series() -> None:
    op.create_table(
        "tracewatch_blocks",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("verdicts", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("block"),
    )
    op.create_table(
        "tracewatch_series",
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), nullable=False),
        sa.Column("first_block", sa.BigInteger(), nullable=False),
        sa.Column("last_block", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scorer", "segment"),
    )
    op.create_table(
        "tracewatch_alarm_clock",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        sa.Column("shares", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _create_labels() -> None:
    op.create_table(
        "tracewatch_labels",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("rationale", sa.Text()),
        sa.Column("labelled_by", sa.Text()),
        sa.Column("drawn", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("probability", sa.Double()),
        sa.Column("event_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("labelled_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("assessments", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tracewatch_labels_trace", "tracewatch_labels", ["trace_id", "scorer"], unique=False)
    op.create_index("tracewatch_labels_event_time", "tracewatch_labels", ["event_time_ms"], unique=False)
    op.create_index(
        "tracewatch_labels_waiting",
        "tracewatch_labels",
        ["labelled_at_ms"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "tracewatch_decisions_drawn",
        "tracewatch_decisions",
        ["event_time_ms", "trace_id"],
        unique=False,
        sqlite_where=sa.text("subject = 'labels'"),
        postgresql_where=sa.text("subject = 'labels'"),
    )
    op.create_table(
        "tracewatch_frozen_rows",
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("human", sa.Text(), nullable=False),
        sa.Column("frozen", sa.Text(), nullable=False),
        sa.Column("frozen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("latest", sa.Text()),
        sa.Column("latest_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("scorer", "scorer_version", "trace_id"),
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_index("tracewatch_decisions_drawn", table_name="tracewatch_decisions")
    for table in _TABLES:
        op.drop_table(f"tracewatch_{table}")
    op.drop_column("tracewatch_positions", "lag_seen_ms")
    op.drop_column("tracewatch_positions", "lag")
    op.drop_index("tracewatch_verdicts_block", table_name="tracewatch_verdicts")
    op.drop_index("tracewatch_verdicts_open", table_name="tracewatch_verdicts")
    op.drop_column("tracewatch_verdicts", "block")
