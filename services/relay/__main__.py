"""Run the relay alone: `python -m services.relay`."""

from __future__ import annotations

from libs.runtime.standalone import run_service
from services.relay.app import build
from services.relay.settings import RelayProcessSettings

if __name__ == "__main__":
    run_service("relay", build, RelayProcessSettings())
