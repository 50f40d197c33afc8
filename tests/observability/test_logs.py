"""One shape for all log lines, and no secret in any."""

from __future__ import annotations

import io
import json
import logging
import warnings

import pytest
import structlog

from app.observability.logs import configure_logging

ADDRESS = "postgresql://morrow:hunter2@db.example/registry"


@pytest.fixture(autouse=True)
def restored():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def stream():
    return io.StringIO()


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_those_of_libraries_have_one_shape(stream):
    configure_logging("info", "json", stream=stream)
    structlog.get_logger("ours").info("forecast issued", ticker="MSFT")
    logging.getLogger("uvicorn.error").info("started on %s", "port 8000")
    ours, theirs = lines(stream)
    assert ours["event"] == "forecast issued"
    assert ours["ticker"] == "MSFT"
    assert theirs["event"] == "started on port 8000"
    assert {"event", "level", "logger", "time"} <= set(ours) & set(theirs)


def test_the_context_is_in_every_line(stream):
    configure_logging("info", "json", stream=stream)
    structlog.contextvars.bind_contextvars(request_id="r1")
    structlog.get_logger().info("a")
    logging.getLogger("uvicorn").info("b")
    assert [line["request_id"] for line in lines(stream)] == ["r1", "r1"]


def test_an_exception_is_one_line_of_data_without_local_variables(stream):
    configure_logging("info", "json", stream=stream)
    try:
        price = "a local value"
        raise ValueError(f"cannot reach {ADDRESS}, {len(price)}")
    except ValueError:
        structlog.get_logger().exception("boom")
        logging.getLogger("sqlalchemy.pool").exception("boom too")
    ours, theirs = lines(stream)
    for line in (ours, theirs):
        assert line["exception"][0]["exc_type"] == "ValueError"
        assert line["exception"][0]["frames"]
    assert "hunter2" not in stream.getvalue()
    assert "a local value" not in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "fields",
    [
        {"database": ADDRESS},
        {"api_key": "hunter2"},
        {"nested": {"headers": [{"Authorization": "hunter2"}]}},
        {"token": ["hunter2"]},
        {"asked": "GET https://host/x?crumb=hunter2&y=1"},
        {"header": "Authorization: Bearer hunter2hunter2"},
        {"asked": "the key mrw_abcd1234_hunter2hunter2-hunter2_ of Ada"},
        {"nested": [{"line": "curl -H 'Authorization: Bearer mrw_abcd1234_hunter2'"}]},
        {"reason": ValueError(f"no answer from {ADDRESS}")},
    ],
)
def test_no_secret_is_written(stream, log_format, fields):
    configure_logging("info", log_format, stream=stream)
    structlog.get_logger().info("x", **fields)
    assert "***" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_a_terminal_shows_exceptions_without_secrets(stream):
    configure_logging("info", "console", stream=stream)
    try:
        raise ValueError(ADDRESS)
    except ValueError:
        structlog.get_logger().exception("boom")
    assert "Traceback" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_auto_writes_json_where_there_is_no_terminal(stream):
    configure_logging("info", "auto", stream=stream)
    structlog.get_logger().info("x")
    assert lines(stream)[0]["event"] == "x"


def test_lines_below_the_level_and_the_chatter_of_libraries_are_left_out(stream):
    configure_logging("info", "json", stream=stream)
    structlog.get_logger().debug("too fine")
    logging.getLogger("sqlalchemy.engine").info("SELECT 1")
    logging.getLogger("alembic.runtime").info("migrating")
    assert stream.getvalue() == ""


def test_configuring_twice_writes_each_line_once(stream):
    configure_logging("info", "json", stream=stream)
    configure_logging("info", "json", stream=stream)
    structlog.get_logger().info("x")
    assert len(lines(stream)) == 1


def test_warnings_are_logged_too(stream):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging("info", "json", stream=stream)
        warnings.warn("old habit", UserWarning, stacklevel=1)
    assert "old habit" in lines(stream)[0]["event"]
