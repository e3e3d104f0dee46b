"""Where trace events come from: Kafka, a file, memory; decoding, dead letters, offsets.

A leaf: it knows nothing of scoring nor of the daemon.
"""
