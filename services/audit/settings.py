"""The settings of audit: `RESEDGE_AUDIT_PORT` and the like."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ProcessSettings


class AuditSettings(ProcessSettings):
    """Where audit listens and keeps its data when it runs alone."""

    model_config = SettingsConfigDict(env_prefix="RESEDGE_AUDIT_", frozen=True, extra="ignore")

    port: int = 8105
