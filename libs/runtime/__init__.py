"""What every process is started with: settings, logs, traces, the clock, and the embedded composition of services."""
