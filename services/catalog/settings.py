"""The settings of catalog: `RESEDGE_CATALOG_PORT` and the like."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ProcessSettings


class CatalogSettings(ProcessSettings):
    """Where catalog listens and keeps its data when it runs alone."""

    model_config = SettingsConfigDict(env_prefix="RESEDGE_CATALOG_", frozen=True, extra="ignore")

    port: int = 8103
