"""Settings from the environment: `RESEDGE_…`, frozen; secrets also from the file that `…_FILE` names.

The one rule: settings are read once, by a composition root, and handed down; nothing reads the environment later.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

SECRET_BYTES_MAX = 64 * 1024


SHARED_PREFIX = "RESEDGE_"


class SecretFiles(PydanticBaseSettingsSource):
    """Reads a setting from the file that the variable `<PREFIX><NAME>_FILE` names."""

    def __init__(self, settings_cls: type[BaseSettings], prefix: str) -> None:
        super().__init__(settings_cls)
        self._prefix = prefix

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the file's content without the line end, if there is such a variable."""
        del field
        variable = f"{self._prefix}{field_name}_FILE".upper()
        place = os.environ.get(variable)
        if place is None:
            return None, field_name, False
        return Path(place).read_text("utf-8")[:SECRET_BYTES_MAX].rstrip("\r\n"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return all settings that come from files."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """The settings that all services share; a service's own settings derive from it with their own prefix."""

    model_config = SettingsConfigDict(env_prefix="RESEDGE_", frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments, then the service's own variables and secret files, then those that all services share."""
        del dotenv_settings, file_secret_settings
        own = str(settings_cls.model_config.get("env_prefix", ""))
        sources = [init_settings, env_settings, SecretFiles(settings_cls, own)]
        if own != SHARED_PREFIX:
            sources += [
                EnvSettingsSource(settings_cls, env_prefix=SHARED_PREFIX),
                SecretFiles(settings_cls, SHARED_PREFIX),
            ]
        return tuple(sources)


class ProcessSettings(Settings):
    """The address, data directory and connections of a process; loopback by default.

    Without `kafka_servers` the log is read as it grows; without `views_url` views are SQLite files in `data_dir`;
    without `oidc_issuer` only the server's own tokens are accepted. `trusted_proxies` are the addresses and networks
    whose `X-Forwarded-For` is believed. `connections_max` bounds what all clients together have open.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    data_dir: Path = Path("resedge-data")
    log_url: str | None = Field(default=None, repr=False)
    views_url: str = Field(default="", repr=False)
    kafka_servers: str = ""
    kafka_prefix: str = ""
    kafka_create_topics: bool = False
    tokens_path: Path | None = None
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_algorithms: str = "RS256,ES256,EdDSA"
    oidc_name_claim: str = ""
    oidc_groups_claim: str = "groups"
    oidc_verified_claim: str = "email_verified"
    oidc_client_id: str = ""
    instance: str = ""
    trusted_proxies: str = ""
    connections_max: int = Field(default=1_000, ge=16)
    otlp_endpoint: str = ""
    log_level: str = "INFO"
    snapshot_seconds: float = 300.0
