"""Run inventory alone: `python -m services.inventory`."""

from __future__ import annotations

from libs.runtime.standalone import run_service
from services.inventory.app import build
from services.inventory.settings import InventorySettings

if __name__ == "__main__":
    run_service("inventory", build, InventorySettings())
