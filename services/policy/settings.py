"""The settings of policy: `RESEDGE_POLICY_PORT` and the like."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ProcessSettings


class PolicySettings(ProcessSettings):
    """Where policy listens and keeps its data when it runs alone."""

    model_config = SettingsConfigDict(env_prefix="RESEDGE_POLICY_", frozen=True, extra="ignore")

    port: int = 8107
