"""The target of each cluster, and what it was given."""
