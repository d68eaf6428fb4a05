"""The settings of inventory: `RESEDGE_INVENTORY_PORT` and the like."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ProcessSettings


class InventorySettings(ProcessSettings):
    """Where inventory listens and keeps its data when it runs alone."""

    model_config = SettingsConfigDict(env_prefix="RESEDGE_INVENTORY_", frozen=True, extra="ignore")

    port: int = 8101
