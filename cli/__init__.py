"""The `resedge` command: it talks HTTP to the services and holds no rule of its own."""
