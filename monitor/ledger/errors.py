"""What can go wrong with the ledger."""

from monitor.errors import MonitorError, ServiceUnavailable


class LedgerError(MonitorError):
    """The ledger was asked for what it cannot do."""


class LedgerUnavailable(LedgerError, ServiceUnavailable):
    """The ledger's database does not answer. Nothing of the transaction is known to have happened: ask again."""


class LedgerAddressError(LedgerError):
    """The URL names no database that the ledger can live in."""


class LeaseLost(LedgerError):
    """Another holder has taken the lease: what was about to be published is not."""
