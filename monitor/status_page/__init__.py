"""The status page: one page made by the server from what the ledger says, without a script or anything from outside."""
