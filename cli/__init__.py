"""The `resedge` command: it calls the services over HTTP and holds no rule of its own."""
