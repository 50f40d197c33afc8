"""Every knob of the service, read from ``MORROW_*`` once, by the composition root alone."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, HttpUrl, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_S3_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=-]+)*/?")
_LIMIT = re.compile(r"([1-9]\d{0,8}/(second|minute|hour|day))?")
_BROKER = re.compile(r"(rediss?|amqps?)://.*")


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
    yahoo_requests_per_second: float = Field(
        2.0, ge=0.1, le=1000, description="Most requests that one process sends to Yahoo in a second."
    )
    yahoo_pause_seconds: int = Field(
        900,
        ge=1,
        le=86400,
        description="Pause after Yahoo asked for patience without saying for how long, and the longest after outages.",
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the registry; unset: SQLite in the home folder."
    )
    models_store: str | None = Field(
        None, description="Folder of the model bundles, or s3://bucket/prefix; unset: <home>/models_store."
    )
    snapshots_store: str | None = Field(
        None, description="Folder of the snapshots of bars, or s3://bucket/prefix; unset: <home>/snapshots."
    )
    s3_endpoint_url: HttpUrl | None = Field(
        None, description="Server that speaks S3, when it is not Amazon's; keys come from AWS_*."
    )
    lease_seconds: float = Field(
        30.0, ge=1, le=600, description="A worker silent for this long has lost its job, in seconds."
    )
    broker_url: str | None = Field(
        None,
        description="Broker that tells workers of jobs, such as redis://host:6379/0; unset: they look themselves.",
    )
    queues: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Queues of the broker that a worker takes jobs from, comma-separated; unset: all."
    )
    train_queue: str = Field(
        "train", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Queue of the broker for all jobs but refreshes."
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
    keep_jobs_days: int = Field(90, ge=0, le=36_500, description="Days that an ended job is kept; 0: for ever.")
    keep_versions: int = Field(
        20, ge=0, le=100_000, description="Newest versions of a ticker that are kept, aliased ones beside; 0: all."
    )
    keep_audit_days: int = Field(
        365, ge=0, le=36_500, description="Days that an entry of the audit log is kept; 0: for ever."
    )
    max_body_bytes: int = Field(10_000_000, ge=1_000, le=100_000_000, description="Largest request body, in bytes.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins that browsers may call from, comma-separated."
    )
    admin_key_file: Path | None = Field(
        None, description="File with an admin key of 32 characters or more, for a service that has no other key yet."
    )
    metrics_key_file: Path | None = Field(
        None, description="File with a key of scope `read`, for whoever scrapes /metrics; made like the other."
    )
    rate_limit: str = Field(
        "6000/minute", description="Requests of one key, or of one address without; empty: as many as come."
    )
    write_rate_limit: str = Field("600/minute", description="The same for requests that are not GET.")
    rate_limit_storage: str = Field(
        "memory", description="Where requests are counted: memory, each process alone, or redis://host:port/db."
    )
    max_jobs_per_key: int = Field(
        1000, ge=1, le=1_000_000, description="Jobs of one key, or of all callers without, that may wait or run."
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

    @field_validator("cors_origins", "queues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Read a comma-separated list."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("models_store", "snapshots_store", mode="before")
    @classmethod
    def _place(cls, value: object) -> object:
        """Take a folder as a path too, and refuse addresses that nothing here can write to."""
        place = str(value) if isinstance(value, Path) else value
        if isinstance(place, str) and re.match(r".*://|s3:", place, re.I) and not _S3_URL.fullmatch(place):
            raise ValueError("neither a folder nor s3://bucket/prefix with a bucket name of 3 characters or more")
        return place

    @field_validator("broker_url")
    @classmethod
    def _tells(cls, broker: str | None) -> str | None:
        """Refuse an address that no client of a broker is there for or can read; several have ``;`` between."""
        if broker is not None and not all(_BROKER.fullmatch(one) and _can_be_read(one) for one in broker.split(";")):
            raise ValueError("no broker, such as redis://host:6379/0 or amqp://host; in a password, / is %2F")
        return broker

    @field_validator("rate_limit", "write_rate_limit")
    @classmethod
    def _limits(cls, limit: str) -> str:
        """Refuse what says no number of requests in a time."""
        if not _LIMIT.fullmatch(limit):
            raise ValueError("no limit, such as 600/minute (second, minute, hour or day)")
        return limit

    @field_validator("rate_limit_storage")
    @classmethod
    def _counts_somewhere(cls, storage: str) -> str:
        """Refuse an address that no client of Redis can read, before any request is to be counted there."""
        if storage == "memory":
            return storage
        if _can_be_read(storage):
            url = urlsplit(storage)
            if url.scheme in {"redis", "rediss"} and url.hostname and re.fullmatch(r"(/\d*)?", url.path):
                return storage
        raise ValueError("neither memory nor redis://host:port/db")

    @model_validator(mode="after")
    def _has_files(self) -> Settings:
        """Refuse a source without its folder, before anybody asks it."""
        if self.source == "files" and self.files_dir is None:
            raise ValueError("the source 'files' needs a folder: set MORROW_FILES_DIR")
        if self.files_dir is not None and not self.files_dir.is_dir():
            raise ValueError(f"MORROW_FILES_DIR: there is no folder {self.files_dir}")
        return self

    @property
    def is_exposed(self) -> bool:
        """Whether the API listens for others than this machine."""
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

    @property
    def state_dir(self) -> Path:
        """Folder of database and caches, and of snapshots unless they have a place of their own."""
        return (self.home or Path("var")).absolute()

    @property
    def models_dir(self) -> Path:
        """Folder of the model bundles, unless they are on S3."""
        default = self.home / "models_store" if self.home else Path("models_store")
        return Path(self.models_store or default).absolute()

    @property
    def snapshots_dir(self) -> Path:
        """Folder of the snapshots, unless they are on S3."""
        return Path(self.snapshots_store or self.state_dir / "snapshots").absolute()

    @property
    def registry_url(self) -> str:
        """SQLAlchemy URL of the registry."""
        return self.database_url or f"sqlite:///{self.state_dir / 'morrow.db'}"


def _can_be_read(address: str) -> bool:
    """Whether no part of the address is the rest of a password that is not escaped, which clients would tell of."""
    try:
        url = urlsplit(address)
        return url.port != 0 and "@" not in f"{url.path}{url.query}{url.fragment}"
    except ValueError:
        return False
