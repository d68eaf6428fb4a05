"""Which changes may be written now: plans, gates, the fuse, and decisions for the log."""
