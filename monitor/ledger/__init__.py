"""The ledger: an SQL database that alone says what was seen, decided, judged, counted and published."""

from monitor.ledger.errors import LeaseLost, LedgerAddressError, LedgerError, LedgerUnavailable
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.ledger.rows import (
    Accounted,
    AlertRow,
    Claim,
    ComparisonRow,
    DecisionRow,
    EvaluationRow,
    EvaluationSummary,
    EventPosition,
    JobRow,
    LeaseToken,
    MemberRow,
    Mismatch,
    ParkedRow,
    PassRate,
    PositionRow,
    TraceRow,
    VerdictCount,
    VerdictRow,
)
from monitor.ledger.settings import LedgerSettings

__all__ = [
    "Accounted",
    "AlertRow",
    "Claim",
    "ComparisonRow",
    "DecisionRow",
    "EvaluationRow",
    "EvaluationSummary",
    "EventPosition",
    "JobRow",
    "LeaseLost",
    "LeaseToken",
    "Ledger",
    "LedgerAddressError",
    "LedgerError",
    "LedgerSettings",
    "LedgerUnavailable",
    "MemberRow",
    "Mismatch",
    "ParkedRow",
    "PassRate",
    "PositionRow",
    "TraceRow",
    "VerdictCount",
    "VerdictRow",
    "open_ledger",
]
