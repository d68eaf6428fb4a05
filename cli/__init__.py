"""The `resedge` command."""
