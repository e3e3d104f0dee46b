"""What can go wrong with the ledger."""

from monitor.errors import MonitorError, ServiceUnavailable


class LedgerError(MonitorError):
    """The ledger was asked for what it cannot do."""


class LedgerUnavailable(LedgerError, ServiceUnavailable):
    """The ledger's database does not answer. Nothing of the transaction is known to have happened: ask again."""


class LedgerAddressError(LedgerError):
    """The URL names no database that the ledger can live in."""


class LedgerTooNew(LedgerError):
    """A newer version has brought the schema further than this version's code can work with."""


class LedgerTooOld(LedgerError):
    """A migration is pending, and an operator has to order it."""


class OldReplicasRun(LedgerError):
    """A migration would break replicas of an older version that still run."""


class LedgerInUse(LedgerError):
    """Another daemon works on the same SQLite file."""


class LeaseLost(LedgerError):
    """Another holder has taken the lease: what was about to be published is not."""
