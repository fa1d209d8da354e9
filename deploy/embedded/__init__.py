"""A Kafka-compatible broker from a wheel, so that the demo needs no server: one process, in memory."""
