"""The demo: a made-up restaurant chain on the real map of the United States, driven through the public API only."""
