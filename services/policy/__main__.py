"""Run policy alone: `python -m services.policy`."""

from __future__ import annotations

from libs.runtime.standalone import run_service
from services.policy.app import build
from services.policy.settings import PolicySettings

if __name__ == "__main__":
    run_service("policy", build, PolicySettings())
