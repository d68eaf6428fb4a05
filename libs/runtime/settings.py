"""Settings from the environment: `RESEDGE_…`, frozen; secrets also from the file that `…_FILE` names.

The one rule: settings are read once, by a composition root, and handed down; nothing reads the environment later.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

SECRET_BYTES_MAX = 64 * 1024


class SecretFiles(PydanticBaseSettingsSource):
    """Reads a setting from the file that the variable `<NAME>_FILE` names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the file's content without the line end, if there is such a variable."""
        del field
        variable = f"{self.config.get('env_prefix', '')}{field_name}_FILE".upper()
        place = os.environ.get(variable)
        if place is None:
            return None, field_name, False
        return Path(place).read_text("utf-8")[:SECRET_BYTES_MAX].rstrip("\r\n"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return all settings that come from files."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """What all services share; a service's own settings derive from it with their own prefix."""

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
        """Take arguments, then the environment, then secret files."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, SecretFiles(settings_cls)


class ProcessSettings(Settings):
    """Where a process listens and keeps its data; loopback unless told otherwise."""

    host: str = "127.0.0.1"
    port: int = 8080
    data_dir: Path = Path("resedge-data")
    log_url: str | None = None
    log_level: str = "INFO"
    snapshot_seconds: float = 300.0
