"""What can go wrong with the ledger."""

from monitor.errors import MonitorError, ServiceUnavailable


class LedgerError(MonitorError):
    """The ledger was asked for what it cannot do."""


class LedgerUnavailable(LedgerError, ServiceUnavailable):  # noqa: N818 - named for the state
    """The ledger's database does not answer. Nothing of the transaction is known to have happened: ask again."""


class LedgerAddressError(LedgerError):
    """The URL names no database that the ledger can live in."""


class LeaseLost(LedgerError):  # noqa: N818 - the name of the event
    """Another holder has taken the lease: what was about to be published is not."""
