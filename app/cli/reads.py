"""Which settings each command reads, for its ``--help``."""

from __future__ import annotations

_S3 = ("models_store", "snapshots_store", "s3_endpoint_url")
_STORE = ("home", "database_url", *_S3, "log_level", "log_format")
_SOURCES = (
    *("source", "files_dir", "yahoo_base_url", "yahoo_timeout_seconds"),
    *("yahoo_requests_per_second", "yahoo_pause_seconds"),
)
_ORDERS = ("max_attempts", "job_timeout_seconds")
_HTTP = ("host", "port", "max_body_bytes", "cors_origins", "root_path", "forwarded_allow_ips")
_ACCESS = (
    *("admin_key_file", "metrics_key_file"),
    *("rate_limit", "write_rate_limit", "rate_limit_storage", "max_jobs_per_key"),
)
_WORK = (
    "workers",
    "lease_seconds",
    "train_threads",
    "refresh_delay_seconds",
    "refresh_retry_seconds",
    "retrain_on_drift",
)
_BROKER = ("broker_url", "train_queue")

_KEEPING = ("keep_jobs_days", "keep_versions", "keep_audit_days")

SETTINGS_OF: dict[str, tuple[str, ...]] = {
    "serve": (*_HTTP, *_ACCESS, *_STORE, *_SOURCES, *_ORDERS, *_WORK, *_BROKER, "queues", *_KEEPING),
    "api": (*_HTTP, *_ACCESS, *_STORE, *_SOURCES, *_ORDERS, *_BROKER, "lease_seconds", "refresh_delay_seconds"),
    "worker": (*_STORE, *_SOURCES, *_ORDERS, *_WORK, *_BROKER, "queues", *_KEEPING),
    "train": (*_STORE, *_SOURCES, *_ORDERS, *_WORK, *_BROKER),
    "backtest": (*_STORE, *_SOURCES, *_ORDERS, *_WORK, *_BROKER),
    "tune": (*_STORE, *_SOURCES, *_ORDERS, *_WORK, *_BROKER),
    "refresh": (*_STORE, *_SOURCES, *_ORDERS, *_WORK, *_BROKER),
    "forecast": _STORE,
    "models": _STORE,
    "jobs": _STORE,
    "import": _STORE,
    "keys": _STORE,
    "audit": _STORE,
    "verify": _STORE,
    "backup": _STORE,
    "restore": ("log_level", "log_format"),
    "migrate-registry": ("home", "database_url", "log_level", "log_format"),
    "prune": (*_STORE, *_KEEPING),
    "health": (*_STORE, "port", "lease_seconds"),
}


def reads(command: str) -> str:
    """Say which environment variables ``command`` reads."""
    return f"Reads {', '.join('MORROW_' + name.upper() for name in SETTINGS_OF[command])}."
