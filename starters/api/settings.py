"""Where the API listens, from `WEDSYNC_API_*`."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class ApiSettings(BaseSettings):
    """The API process's own settings."""

    model_config = SettingsConfigDict(env_prefix="WEDSYNC_API_", extra="ignore")

    host: str = "127.0.0.1"
    port: int = 8080
    ui_origin: str = ""
    """Origin of the Temporal Web UI, whose browser may use the codec server."""

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return self.host in {"127.0.0.1", "::1", "localhost"}
