"""Asks a service on this machine whether it is ready: `python -m scripts.health inventory`, exit 0 or 1.

The health check in docker-compose.yml, where the image has no curl; the port is what the service itself is told.
"""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    """Return 0 if the service that the argument names is ready."""
    service = sys.argv[1]
    port = int(os.environ[f"RESEDGE_{service.upper()}_PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/readyz?verbose")
        answer = connection.getresponse()
        said = answer.read(2_000).decode("utf-8", "replace")
    except OSError as error:
        print(f"{service} does not answer on port {port}: {error}")
        return 1
    finally:
        connection.close()
    if answer.status != 200:
        print(f"{service} is not ready: {said}")
    return int(answer.status != 200)


if __name__ == "__main__":
    raise SystemExit(main())
