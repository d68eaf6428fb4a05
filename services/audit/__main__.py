"""Run audit alone: `python -m services.audit`."""

from __future__ import annotations

from libs.runtime.standalone import run_service
from services.audit.app import build
from services.audit.settings import AuditSettings

if __name__ == "__main__":
    run_service("audit", build, AuditSettings())
