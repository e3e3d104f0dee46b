"""The ledger's schema, revision by revision, shipped with the code that needs it."""
