"""Run rendering alone: `python -m services.rendering`."""

from __future__ import annotations

from libs.runtime.standalone import run_service
from services.rendering.app import build
from services.rendering.settings import RenderingProcessSettings

if __name__ == "__main__":
    run_service("rendering", build, RenderingProcessSettings())
