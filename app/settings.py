"""Every knob of the service, read from ``MORROW_*`` once, by the composition root alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, HttpUrl, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """The service's settings; every field is the environment variable ``MORROW_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="MORROW_", extra="ignore", frozen=True)

    home: Path | None = Field(
        None, description="Folder for all state; unset: models in models_store/, the rest in var/."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the API listens on.")
    workers: int = Field(
        1, ge=0, le=64, description="Worker processes that `serve` starts; each runs one job or batch at a time."
    )
    source: Literal["yahoo", "files", "sample"] = Field(
        "yahoo", description="Where prices come from when an order does not say."
    )
    files_dir: Path | None = Field(
        None, description="Folder of the source `files`: one CSV a ticker, named <TICKER>.csv."
    )
    yahoo_base_url: HttpUrl | None = Field(None, description="Mirror or loopback server asked instead of Yahoo.")
    yahoo_timeout_seconds: float = Field(
        20.0, gt=0, le=120, description="Longest wait for one answer of Yahoo, in seconds."
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the registry; unset: SQLite in the home folder."
    )
    models_store: Path | None = Field(None, description="Folder of the model bundles; unset: <home>/models_store.")
    lease_seconds: float = Field(
        30.0, ge=1, le=600, description="A worker silent for this long has lost its job, in seconds."
    )
    max_attempts: int = Field(3, ge=1, le=10, description="Claims of one job before it fails.")
    job_timeout_seconds: int = Field(
        3600, ge=10, le=86400, description="Time limit of a job whose order sets none, in seconds."
    )
    train_threads: int = Field(1, ge=0, le=64, description="Threads of one training; 0: cores divided by workers.")
    refresh_delay_seconds: int = Field(
        5400, ge=0, le=86400, description="Wait after a session's close before its bar is fetched, in seconds."
    )
    refresh_retry_seconds: int = Field(
        1800, ge=1, le=86400, description="Wait before asking again for a bar that was not there, in seconds."
    )
    retrain_on_drift: bool = Field(
        False, description="Train a champion's order anew when its inputs or residuals have drifted far."
    )
    max_body_bytes: int = Field(10_000_000, ge=1_000, le=100_000_000, description="Largest request body, in bytes.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins that browsers may call from, comma-separated."
    )
    root_path: str = Field("", description="Path prefix that a proxy in front strips off.")
    forwarded_allow_ips: str = Field(
        "127.0.0.1", description="Proxies whose X-Forwarded-* headers are believed, comma-separated."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json, console, or auto: console on a terminal."
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Read a comma-separated list."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_files(self) -> Settings:
        """Refuse a source without its folder, before anybody asks it."""
        if self.source == "files" and self.files_dir is None:
            raise ValueError("the source 'files' needs a folder: set MORROW_FILES_DIR")
        if self.files_dir is not None and not self.files_dir.is_dir():
            raise ValueError(f"MORROW_FILES_DIR: there is no folder {self.files_dir}")
        return self

    @property
    def state_dir(self) -> Path:
        """Folder of database, snapshots and caches."""
        return (self.home or Path("var")).absolute()

    @property
    def models_dir(self) -> Path:
        """Folder of the model bundles."""
        default = self.home / "models_store" if self.home else Path("models_store")
        return (self.models_store or default).absolute()

    @property
    def registry_url(self) -> str:
        """SQLAlchemy URL of the registry."""
        return self.database_url or f"sqlite:///{self.state_dir / 'morrow.db'}"
