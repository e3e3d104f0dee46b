"""The port that Prometheus, orchestrators and people ask: what it answers, to whom, and how much."""
