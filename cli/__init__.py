"""The `resedge` command: it talks HTTP to the services and holds no rule of its own."""

__version__ = "0.1.0"
"""The distribution's version; kept here so that `--version` reads no package metadata."""
