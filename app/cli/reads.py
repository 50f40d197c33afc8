"""Which settings each command reads, for its ``--help``."""

from __future__ import annotations

_STORE = ("home", "database_url", "models_store", "log_level", "log_format")
_SOURCES = ("source", "files_dir", "yahoo_base_url", "yahoo_timeout_seconds")
_ORDERS = ("max_attempts", "job_timeout_seconds")
_HTTP = ("host", "port", "max_body_bytes", "cors_origins", "root_path", "forwarded_allow_ips")
_WORK = (
    "workers",
    "lease_seconds",
    "train_threads",
    "refresh_delay_seconds",
    "refresh_retry_seconds",
    "retrain_on_drift",
)

SETTINGS_OF: dict[str, tuple[str, ...]] = {
    "serve": (*_HTTP, *_STORE, *_SOURCES, *_ORDERS, *_WORK),
    "api": (*_HTTP, *_STORE, *_SOURCES, *_ORDERS, "lease_seconds", "refresh_delay_seconds"),
    "worker": (*_STORE, *_SOURCES, *_ORDERS, *_WORK),
    "train": (*_STORE, *_SOURCES, *_ORDERS, *_WORK),
    "backtest": (*_STORE, *_SOURCES, *_ORDERS, *_WORK),
    "tune": (*_STORE, *_SOURCES, *_ORDERS, *_WORK),
    "refresh": (*_STORE, *_SOURCES, *_ORDERS, *_WORK),
    "forecast": _STORE,
    "models": _STORE,
    "jobs": _STORE,
    "import": _STORE,
    "verify": _STORE,
    "health": (*_STORE, "port", "lease_seconds"),
}


def reads(command: str) -> str:
    """Say which environment variables ``command`` reads."""
    return f"Reads {', '.join('MORROW_' + name.upper() for name in SETTINGS_OF[command])}."
