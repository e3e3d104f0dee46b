"""The tables. Names carry a prefix because MLflow may live in the same database, with a `jobs` table of its own.

The alembic revisions in `migrations/` make them; a test holds both to each other. JSON is text, so that every database
keeps it as written. `published` is an integer because a partial index over a boolean is not portable.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator

from monitor.ledger.json_text import dumps, loads


class PlainText(TypeDecorator[str]):
    """Text from strangers: what one of the databases would refuse (NUL, lone surrogates) is replaced before storing."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what cannot be stored."""
        del dialect
        if value is None:
            return None
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class JsonText(TypeDecorator[Any]):
    """A JSON value as canonical text: sorted keys, ASCII only."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Write it."""
        del dialect
        return dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read it."""
        del dialect
        return None if value is None else loads(value)


metadata = MetaData()

traces = Table(
    "tracewatch_traces",
    metadata,
    Column("trace_id", PlainText, primary_key=True),
    Column("source_id", PlainText, nullable=False),
    Column("topic", PlainText, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("event_time_ms", BigInteger, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("app_version", PlainText),
    Column("session_id", PlainText),
    Column("status", PlainText, nullable=False),
    Column("inputs_digest", PlainText, nullable=False),
    Column("segments", JsonText, nullable=False),
)

# Retention deletes by it.
Index("tracewatch_traces_event_time", traces.c.event_time_ms)
# A proof looks for good answers to the same inputs.
Index("tracewatch_traces_inputs_digest", traces.c.inputs_digest)

decisions = Table(
    "tracewatch_decisions",
    metadata,
    Column("trace_id", PlainText, primary_key=True),
    Column("subject", PlainText, primary_key=True),
    Column("kept", Boolean(create_constraint=False), nullable=False),
    Column("probability", Double, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    # Copied from the trace, so that the parked are found in their order through one small index.
    Column("event_time_ms", BigInteger, nullable=False),
)
Index(
    "tracewatch_decisions_parked",
    decisions.c.event_time_ms,
    decisions.c.trace_id,
    decisions.c.subject,
    sqlite_where=text("state = 'parked'"),
    postgresql_where=text("state = 'parked'"),
)
# The traces drawn for labelling, of which only those drawn have a row.
Index(
    "tracewatch_decisions_drawn",
    decisions.c.event_time_ms,
    decisions.c.trace_id,
    sqlite_where=text("subject = 'labels'"),
    postgresql_where=text("subject = 'labels'"),
)

verdicts = Table(
    "tracewatch_verdicts",
    metadata,
    Column("trace_id", PlainText, primary_key=True),
    Column("scorer", PlainText, primary_key=True),
    Column("scorer_version", PlainText, nullable=False),
    Column("assessment_id", PlainText, nullable=False),
    Column("label", PlainText, nullable=False),
    Column("value", Double),
    Column("feedback", JsonText, nullable=False),
    Column("rationale", PlainText),
    Column("error", PlainText),
    Column("probability", Double, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("segments", JsonText, nullable=False),
    Column("app_version", PlainText),
    Column("session_id", PlainText),
    Column("event_time_ms", BigInteger, nullable=False),
    Column("topic", PlainText, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("judged_at_ms", BigInteger, nullable=False),
    Column("duration_s", Double, nullable=False),
    Column("published", Integer, nullable=False, server_default="0"),
    # The block of its series that it was closed in; null while its block is open.
    Column("block", BigInteger),
)
Index("tracewatch_verdicts_event_time", verdicts.c.event_time_ms)
Index(
    "tracewatch_verdicts_open",
    verdicts.c.event_time_ms,
    sqlite_where=text("block IS NULL"),
    postgresql_where=text("block IS NULL"),
)
# A block's rows are read again by a backtest, and those since an onset for the proof.
Index("tracewatch_verdicts_block", verdicts.c.block)
# The pace of judging is read from the last minutes.
Index("tracewatch_verdicts_judged", verdicts.c.judged_at_ms)
Index(
    "tracewatch_verdicts_unpublished",
    verdicts.c.judged_at_ms,
    verdicts.c.trace_id,
    sqlite_where=text("published = 0"),
    postgresql_where=text("published = 0"),
)

positions = Table(
    "tracewatch_positions",
    metadata,
    Column("topic", PlainText, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False, server_default="0"),
    Column("lost", BigInteger, nullable=False, server_default="0"),
    # How far the stream was ahead when its owner last looked.
    Column("lag", BigInteger),
    Column("lag_seen_ms", BigInteger),
)

# A row a partition, so that replicas never wait for each other's counts.
outcome_counts = Table(
    "tracewatch_outcome_counts",
    metadata,
    Column("topic", PlainText, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("scorer", PlainText, primary_key=True),
    Column("outcome", PlainText, primary_key=True),
    Column("reason", PlainText, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# What each scorer should have seen: it may have been added later than others.
received_counts = Table(
    "tracewatch_received_counts",
    metadata,
    Column("topic", PlainText, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("scorer", PlainText, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

budget_factors = Table(
    "tracewatch_budget_factors",
    metadata,
    Column("scorer", PlainText, primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("factor", Double, nullable=False),
)

budget_demand = Table(
    "tracewatch_budget_demand",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("scorer", PlainText, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

budget_calls = Table(
    "tracewatch_budget_calls",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("calls", BigInteger, nullable=False),
)

# One row that a transaction locks before it reads what it then adds to; the revision puts it in.
mutexes = Table("tracewatch_mutexes", metadata, Column("name", PlainText, primary_key=True))

members = Table(
    "tracewatch_members",
    metadata,
    Column("dataset", PlainText, primary_key=True),
    Column("inputs_digest", PlainText, primary_key=True),
    Column("trace_id", PlainText, nullable=False),
    Column("segment", PlainText, nullable=False),
    Column("priority", Double, nullable=False),
    Column("probability", Double, nullable=False),
    Column("golden", Boolean(create_constraint=False), nullable=False),
    Column("inputs", JsonText, nullable=False),
    Column("outputs", JsonText, nullable=False),
    Column("expectations", JsonText, nullable=False),
    # Key -> [event_time_ms, trace_id] of the expectation that stands: the latest wins, in whatever order they come.
    Column("expectation_sources", JsonText, nullable=False),
    Column("tags", JsonText, nullable=False),
    Column("event_time_ms", BigInteger, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("record_id", PlainText),
    Column("revision", BigInteger, nullable=False),
    Column("reconciled_revision", BigInteger, nullable=False, server_default="0"),
)
Index(
    "tracewatch_members_active",
    members.c.dataset,
    members.c.inputs_digest,
    sqlite_where=text("state = 'active'"),
    postgresql_where=text("state = 'active'"),
)
Index(
    "tracewatch_members_unreconciled",
    members.c.dataset,
    members.c.event_time_ms,
    sqlite_where=text("revision <> reconciled_revision"),
    postgresql_where=text("revision <> reconciled_revision"),
)

leases = Table(
    "tracewatch_leases",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("holder", PlainText, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
)

evaluations = Table(
    "tracewatch_evaluations",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("dataset", PlainText, nullable=False),
    Column("digest", PlainText, nullable=False),
    Column("rows", JsonText, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger),
    Column("runs", JsonText, nullable=False),
    Column("error", PlainText),
)
Index("tracewatch_evaluations_started", evaluations.c.started_at_ms)

comparisons = Table(
    "tracewatch_comparisons",
    metadata,
    Column("evaluation_id", PlainText, primary_key=True),
    Column("candidate", PlainText, primary_key=True),
    Column("finished_at_ms", BigInteger, nullable=False),
    Column("comparison", JsonText, nullable=False),
)
Index("tracewatch_comparisons_latest", comparisons.c.candidate, comparisons.c.finished_at_ms)

alerts = Table(
    "tracewatch_alerts",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("kind", PlainText, nullable=False),
    Column("scorer", PlainText, nullable=False),
    Column("segment", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("severity", PlainText, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("fired_ms", BigInteger),
    Column("resolved_ms", BigInteger),
    Column("details", JsonText, nullable=False),
)
Index("tracewatch_alerts_since", alerts.c.since_ms)
Index("tracewatch_alerts_state", alerts.c.state)

jobs = Table(
    "tracewatch_jobs",
    metadata,
    Column("job", PlainText, primary_key=True),
    Column("last_success_ms", BigInteger),
    Column("last_failure_ms", BigInteger),
    Column("last_error", PlainText),
)

# What was paid for models, by UTC day (ms // 86_400_000) and purpose. Money is whole millionths of a dollar.
spend = Table(
    "tracewatch_spend",
    metadata,
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("purpose", PlainText, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("microdollars", BigInteger, nullable=False),
)

# Which replicas run, so that a migration knows whom it would break.
replicas = Table(
    "tracewatch_replicas",
    metadata,
    Column("holder", PlainText, primary_key=True),
    Column("version", PlainText, nullable=False),
    Column("revision", PlainText, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)

# One row: the oldest revision whose code can work with the schema as it is now.
compatibility = Table("tracewatch_compatibility", metadata, Column("works_from", PlainText, primary_key=True))

# Closed blocks: minutes of event time (ms // 60_000). `closed_at_ms` tells which of its rows were too old to bet.
blocks = Table(
    "tracewatch_blocks",
    metadata,
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("closed_at_ms", BigInteger, nullable=False),
    Column("verdicts", BigInteger, nullable=False),
)

# One row a series. `state` is what its sequential test knows, of a size that does not grow.
series = Table(
    "tracewatch_series",
    metadata,
    Column("scorer", PlainText, primary_key=True),
    Column("segment", PlainText, primary_key=True),
    Column("scorer_version", PlainText, nullable=False),
    Column("first_block", BigInteger, nullable=False),
    Column("last_block", BigInteger, nullable=False),
    Column("state", JsonText, nullable=False),
)

# One row: how many days of the false-alarm budget a series' equal share has been worth so far.
alarm_clock = Table(
    "tracewatch_alarm_clock",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("block", BigInteger, nullable=False),
    Column("live", Integer, nullable=False),
    Column("shares", Double, nullable=False),
)

# What people said of a trace. `drawn` and `probability` tell whether the daemon itself asked for it, and how likely;
# `assessments` are those that MLflow has to show, until `state` says that it does.
labels = Table(
    "tracewatch_labels",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("trace_id", PlainText, nullable=False),
    Column("scorer", PlainText, nullable=False),
    Column("label", PlainText, nullable=False),
    Column("rationale", PlainText),
    Column("labelled_by", PlainText),
    Column("drawn", Boolean(create_constraint=False), nullable=False),
    Column("probability", Double),
    Column("event_time_ms", BigInteger, nullable=False),
    Column("labelled_at_ms", BigInteger, nullable=False),
    Column("origin", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("assessments", JsonText, nullable=False),
)
Index("tracewatch_labels_trace", labels.c.trace_id, labels.c.scorer)
Index("tracewatch_labels_event_time", labels.c.event_time_ms)
Index(
    "tracewatch_labels_waiting",
    labels.c.labelled_at_ms,
    sqlite_where=text("state = 'waiting'"),
    postgresql_where=text("state = 'waiting'"),
)

# Labelled rows that are judged again on a schedule: what the judge said when they were frozen, and says now.
frozen_rows = Table(
    "tracewatch_frozen_rows",
    metadata,
    Column("scorer", PlainText, primary_key=True),
    Column("scorer_version", PlainText, primary_key=True),
    Column("trace_id", PlainText, primary_key=True),
    Column("human", PlainText, nullable=False),
    Column("frozen", PlainText, nullable=False),
    Column("frozen_at_ms", BigInteger, nullable=False),
    Column("latest", PlainText),
    Column("latest_at_ms", BigInteger),
)

# One row an alert, receiver and transition (`fired`, `raised`, `resolved`), kept as long as its alert. `severity` is
# that of which it tells, `attempts` those since it was last accepted, `delivered_ms` when it first was.
deliveries = Table(
    "tracewatch_deliveries",
    metadata,
    Column("alert_id", PlainText, primary_key=True),
    Column("receiver", PlainText, primary_key=True),
    Column("transition", PlainText, primary_key=True),
    Column("severity", PlainText, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_ms", BigInteger, nullable=False),
    Column("delivered_ms", BigInteger),
    Column("last_error", PlainText),
)
Index("tracewatch_deliveries_created", deliveries.c.created_ms)
