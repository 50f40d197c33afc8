"""One log for everything: our own lines and those of the libraries, as JSON or for a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.types import Processor

from app.observability.redaction import redact

# They bring handlers of their own; ours at the root is enough.
_WITH_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")
# Below a warning they tell of their inner life, statement by statement.
_OF_S3 = ("s3fs", "fsspec", "aiobotocore", "botocore", "aiohttp")  # and show each request's token and signature
_TALKATIVE = ("sqlalchemy", "alembic", "yfinance", "peewee", "urllib3", "asyncio", "curl_cffi", *_OF_S3)
# No locals: they hold prices, orders and, in a connection pool, passwords.
_ONE_LINE_EXCEPTION = ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=20))


def configure_logging(level: str = "info", log_format: str = "auto", *, stream: TextIO | None = None) -> None:
    """Send every log line of this process to ``stream`` (default: standard error), one shape for all.

    ``log_format`` is ``json`` (one object a line, exceptions included), ``console``, or ``auto``:
    console on a terminal. What ``structlog.contextvars`` holds (request_id, job_id, ticker) is in
    every line. May be called again. Start uvicorn with ``log_config=None``, else it undoes this.
    """
    target = stream or sys.stderr
    as_console = log_format == "console" or (log_format == "auto" and target.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(_formatter(as_console, colors=as_console and target.isatty()))
    _route_stdlib(handler, logging.getLevelNamesMapping()[level.upper()])


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.UnicodeDecoder(),
        _without_colors,
    ]


def _without_colors(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop uvicorn's second copy of each message, the one with colours in it."""
    event.pop("color_message", None)
    return event


def _formatter(as_console: bool, *, colors: bool) -> logging.Formatter:
    """Render last, redact just before: an exception's text may hold a URL with its password."""
    console = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
    )
    last: list[Any] = (
        [structlog.processors.format_exc_info, redact, console]
        if as_console
        else [_ONE_LINE_EXCEPTION, redact, structlog.processors.JSONRenderer(default=str, ensure_ascii=False)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared_processors(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def _route_stdlib(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in _WITH_OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
