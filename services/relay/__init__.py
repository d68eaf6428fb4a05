"""The relay accepts external events (sources, the inbox, dead letters), and publishes the log to Kafka."""
