"""The settings of grouping: `RESEDGE_GROUPING_PORT` and the like."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ProcessSettings


class GroupingSettings(ProcessSettings):
    """Where grouping listens and keeps its data when it runs alone."""

    model_config = SettingsConfigDict(env_prefix="RESEDGE_GROUPING_", frozen=True, extra="ignore")

    port: int = 8102
