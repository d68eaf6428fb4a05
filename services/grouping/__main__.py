"""Run grouping alone: `python -m services.grouping`."""

from __future__ import annotations

from libs.runtime.standalone import run_service
from services.grouping.app import build
from services.grouping.settings import GroupingSettings

if __name__ == "__main__":
    run_service("grouping", build, GroupingSettings())
