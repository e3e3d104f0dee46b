"""Alerts from what the ledger says: who looks, and what there is to find."""
