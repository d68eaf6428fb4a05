"""Run catalog alone: `python -m services.catalog`."""

from __future__ import annotations

from libs.runtime.standalone import run_service
from services.catalog.app import build
from services.catalog.settings import CatalogSettings

if __name__ == "__main__":
    run_service("catalog", build, CatalogSettings())
