"""Telling people of alerts: what is said, to whom, and that it arrives."""
