"""The settings of the relay: `RESEDGE_RELAY_PORT` and the like."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ProcessSettings, Settings


class RelaySettings(Settings):
    """`api_url` is where the other services are reached (the edge), `token` the relay's own, with role `relay`.

    Both are for a relay that runs alone; in one process with the other services it needs neither.
    """

    model_config = SettingsConfigDict(env_prefix="RESEDGE_RELAY_", frozen=True, extra="ignore")

    api_url: str = ""
    token: str = Field(default="", repr=False)
    lease_seconds: float = 10.0


class RelayProcessSettings(ProcessSettings):
    """Where the relay listens and keeps its data when it runs alone."""

    model_config = SettingsConfigDict(env_prefix="RESEDGE_RELAY_", frozen=True, extra="ignore")

    port: int = 8106
