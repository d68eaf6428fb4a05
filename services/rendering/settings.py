"""Settings of rendering: the repository, the number of workers, and the address if it runs alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ProcessSettings, Settings
from services.rendering.timing import Timing


class RenderingSettings(Settings):
    """`RESEDGE_RENDERING_…`: `repository` defaults to `<data-dir>/gitops.git`; `remote` is pushed to, if given.

    A removal is admitted once it has been wanted for `removals_settle_seconds`; the directory of a deleted cluster
    stays, empty, for `retired_days`; a step to another layout lasts at least `layout_step_hours`. A failing push is
    tried again after `push_retry_seconds`, then after twice as long each time, up to `push_retry_seconds_max`.
    """

    model_config = SettingsConfigDict(env_prefix="RESEDGE_RENDERING_", frozen=True, extra="ignore")

    repository: Path | None = None
    remote: str = ""
    push_retry_seconds: float = 1.0
    push_retry_seconds_max: float = 60.0
    push_check_seconds: float = 300.0
    workers: int = 2
    workers_from_clusters: int = 1_000
    lease_seconds: float = 15.0
    maintain_every_commits: int = 32
    snapshot_every_events: int = 20_000
    snapshot_every_files: int = 100_000
    removals_settle_seconds: float = 15.0
    retired_days: float = 7.0
    layout_step_hours: float = 24.0

    @property
    def timing(self) -> Timing:
        """How long things wait in rendering, apart from gates."""
        return Timing(
            timedelta(seconds=self.removals_settle_seconds),
            timedelta(days=self.retired_days),
            timedelta(hours=self.layout_step_hours),
        )


class RenderingProcessSettings(ProcessSettings):
    """Where rendering listens and keeps its data when it runs alone."""

    model_config = SettingsConfigDict(env_prefix="RESEDGE_RENDERING_", frozen=True, extra="ignore")

    port: int = 8104
