"""Prometheus metrics of feeds and consumers.

Every read of events from the log names its reason; in normal operation on Kafka only the relay reads.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge

LOG_EVENTS_READ = Counter("resedge_log_events_read_total", "Events read from the log's database, by reason", ("why",))
CONSUMER_POSITION = Gauge("resedge_consumer_position", "The last position that a consumer has seen", ("consumer",))
CONSUMER_LAG_EVENTS = Gauge("resedge_consumer_lag_events", "Events that a consumer is behind the log", ("consumer",))
CONSUMER_LAG_SECONDS = Gauge(
    "resedge_consumer_lag_seconds", "For how long a consumer has been behind the log", ("consumer",)
)
CONSUMER_STOPPED = Gauge("resedge_consumer_stopped", "1 while a consumer cannot continue by itself", ("consumer",))
LOG_POSITION = Gauge("resedge_log_position", "The last position of the log, as this process knows it")
KAFKA_EVENTS = Counter("resedge_kafka_events_total", "Events that came by Kafka, by outcome", ("outcome",))
KAFKA_CONNECTED = Gauge("resedge_kafka_connected", "1 while the subscription to Kafka runs")
RELAY_POSITION = Gauge("resedge_relay_position", "The last position that Kafka has acknowledged")
RELAY_LAG_EVENTS = Gauge("resedge_relay_lag_events", "Events of the log that Kafka has not acknowledged yet")
RELAY_LAG_SECONDS = Gauge("resedge_relay_lag_seconds", "For how long there have been such events")
RELAY_LEADS = Gauge("resedge_relay_leads", "1 in the relay that publishes, 0 in one that stands by")
QUEUE_DEPTH = Gauge("resedge_queue_depth", "Waiting items, by queue", ("queue",))
DEAD_LETTERS = Gauge("resedge_dead_letters", "Dead letters that are open: external events, halted consumers", ("kind",))
