"""The daemon: it takes traces in, samples, scores, compares, measures and alerts."""
