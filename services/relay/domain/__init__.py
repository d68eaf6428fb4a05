"""The deciders of the relay: sources, the meaning of an external event, and dead letters."""
