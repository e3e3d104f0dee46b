"""Alerts: what they are, and how they begin and end."""
