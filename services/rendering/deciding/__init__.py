"""Which of what should be may be written now: plans, gates, the fuse, decisions for the log."""
