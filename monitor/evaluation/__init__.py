"""Candidate versions on the same rows, judged by the same scorers, compared in pairs."""
