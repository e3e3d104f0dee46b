"""The first schema.

Revision ID: 0001
Revises: nothing
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
works_from = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    _intake()
    _verdicts()
    _accounting()
    _budget()
    _members()
    _evaluations()
    _publishing()


def downgrade() -> None:
    """Take every table away, and with them all that the ledger knows."""
    for table in _TABLES:
        op.drop_table(f"tracewatch_{table}")


_TABLES = (
    "traces",
    "decisions",
    "verdicts",
    "positions",
    "outcome_counts",
    "received_counts",
    "budget_factors",
    "budget_demand",
    "budget_calls",
    "mutexes",
    "members",
    "evaluations",
    "comparisons",
    "leases",
    "alerts",
    "jobs",
)


def _intake() -> None:
    op.create_table(
        "tracewatch_traces",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("event_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("app_version", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("inputs_digest", sa.Text(), nullable=False),
        sa.Column("segments", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id"),
    )
    op.create_table(
        "tracewatch_decisions",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("event_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "subject"),
    )
    op.create_index(
        "tracewatch_decisions_parked",
        "tracewatch_decisions",
        ["event_time_ms", "trace_id", "subject"],
        unique=False,
        sqlite_where=sa.text("state = 'parked'"),
        postgresql_where=sa.text("state = 'parked'"),
    )


def _verdicts() -> None:
    op.create_table(
        "tracewatch_verdicts",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), nullable=False),
        sa.Column("assessment_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("feedback", sa.Text(), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("segments", sa.Text(), nullable=False),
        sa.Column("app_version", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("event_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("judged_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column("published", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "scorer"),
    )
    op.create_index("tracewatch_verdicts_event_time", "tracewatch_verdicts", ["event_time_ms"], unique=False)
    op.create_index(
        "tracewatch_verdicts_unpublished",
        "tracewatch_verdicts",
        ["judged_at_ms", "trace_id"],
        unique=False,
        sqlite_where=sa.text("published = 0"),
        postgresql_where=sa.text("published = 0"),
    )


def _accounting() -> None:
    op.create_table(
        "tracewatch_positions",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lost", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "tracewatch_outcome_counts",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "scorer", "outcome", "reason"),
    )
    op.create_table(
        "tracewatch_received_counts",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "scorer"),
    )


def _budget() -> None:
    op.create_table(
        "tracewatch_budget_factors",
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("factor", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("scorer", "minute"),
    )
    op.create_table(
        "tracewatch_budget_demand",
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "scorer"),
    )
    op.create_table(
        "tracewatch_budget_calls",
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("minute"),
    )
    op.create_table("tracewatch_mutexes", sa.Column("name", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("name"))
    op.execute("INSERT INTO tracewatch_mutexes (name) VALUES ('judge_calls')")


def _members() -> None:
    op.create_table(
        "tracewatch_members",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("inputs_digest", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("priority", sa.Double(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("golden", sa.Boolean(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("expectations", sa.Text(), nullable=False),
        sa.Column("expectation_sources", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("event_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("reconciled_revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("dataset", "inputs_digest"),
    )
    op.create_index(
        "tracewatch_members_active",
        "tracewatch_members",
        ["dataset", "inputs_digest"],
        unique=False,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_index(
        "tracewatch_members_unreconciled",
        "tracewatch_members",
        ["dataset", "event_time_ms"],
        unique=False,
        sqlite_where=sa.text("revision <> reconciled_revision"),
        postgresql_where=sa.text("revision <> reconciled_revision"),
    )


def _evaluations() -> None:
    op.create_table(
        "tracewatch_evaluations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("runs", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tracewatch_evaluations_started", "tracewatch_evaluations", ["started_at_ms"], unique=False)
    op.create_table(
        "tracewatch_comparisons",
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("candidate", sa.Text(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("comparison", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "candidate"),
    )
    op.create_index(
        "tracewatch_comparisons_latest", "tracewatch_comparisons", ["candidate", "finished_at_ms"], unique=False
    )


def _publishing() -> None:
    op.create_table(
        "tracewatch_leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "tracewatch_alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("fired_ms", sa.BigInteger(), nullable=True),
        sa.Column("resolved_ms", sa.BigInteger(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tracewatch_alerts_since", "tracewatch_alerts", ["since_ms"], unique=False)
    op.create_index("tracewatch_alerts_state", "tracewatch_alerts", ["state"], unique=False)
    op.create_table(
        "tracewatch_jobs",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("last_success_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_failure_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("job"),
    )
