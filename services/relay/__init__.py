"""Decides what comes in from outside: sources, the inbox, dead letters; and publishes the log to Kafka."""
