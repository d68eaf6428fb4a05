"""Settings of rendering: where it writes and with how many hands; where it listens when it runs alone."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ProcessSettings, Settings


class RenderingSettings(Settings):
    """`RESEDGE_RENDERING_…`: `repository` defaults to `<data-dir>/gitops.git`; `remote` is pushed to, if given."""

    model_config = SettingsConfigDict(env_prefix="RESEDGE_RENDERING_", frozen=True, extra="ignore")

    repository: Path | None = None
    remote: str = ""
    workers: int = 2
    workers_from_clusters: int = 1_000
    lease_seconds: float = 15.0
    maintain_every_commits: int = 32
    snapshot_every_events: int = 20_000
    snapshot_every_files: int = 100_000


class RenderingProcessSettings(ProcessSettings):
    """Where rendering listens and keeps its data when it runs alone."""

    model_config = SettingsConfigDict(env_prefix="RESEDGE_RENDERING_", frozen=True, extra="ignore")

    port: int = 8104
