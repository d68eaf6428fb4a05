"""The start of every process: settings, logs, traces, the clock, and the embedded composition of services."""
