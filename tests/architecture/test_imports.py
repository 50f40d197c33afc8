from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import MODULES, ROOT, tree_of

TENSORFLOW = {"tensorflow", "keras", "onnx"}
OF_THE_WORKER = {"arch", "optuna", "scoringrules", "sklearn", "statsmodels", "yfinance"}
EXECUTABLE_FORMATS = {"pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after ``statement``."""
    code = f"{statement}; import json, sys; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_every_import_contract_is_kept():
    program = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([program, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_api_never_meets_tensorflow_nor_the_libraries_of_the_worker():
    loaded = loaded_by("import app.api.app, app.bootstrap")
    assert {"fastapi", "sqlalchemy"} <= loaded
    assert loaded & (TENSORFLOW | OF_THE_WORKER | {"pandas", "onnxruntime"}) == set()


def test_the_api_starts_without_what_only_some_of_its_answers_need():
    needless = {"alembic", "exchange_calendars", "scipy", "s3fs", "fsspec", "botocore", "aiohttp"}
    assert loaded_by("import app.cli.api_process") & needless == set()


def test_the_services_open_without_what_only_stores_on_s3_need(tmp_path: Path):
    opened = f"import os; os.environ['MORROW_HOME'] = {str(tmp_path)!r}; import app.bootstrap, app.settings; "
    opened += "app.bootstrap.open_services(app.settings.Settings())"
    assert loaded_by(opened) & {"s3fs", "fsspec", "botocore", "aiohttp"} == set()


@pytest.mark.parametrize("module", ["app.cli.api_process", "app.worker.loop", "app.worker.run_job"])
def test_who_is_not_told_of_jobs_by_a_broker_does_without_celery(module):
    assert loaded_by(f"import {module}") & {"celery", "kombu", "redis", "amqp"} == set()


@pytest.mark.parametrize("module", ["app.worker.loop", "app.worker.supervisor", "app.worker.schedule"])
def test_a_worker_leaves_tensorflow_to_the_child_of_each_job(module):
    assert loaded_by(f"import {module}") & (TENSORFLOW | {"sklearn", "statsmodels", "yfinance"}) == set()


def test_a_worker_starts_without_the_libraries_of_the_api():
    assert (
        loaded_by("import app.cli.serving, app.worker.run_job") & {"fastapi", "httpx2", "starlette", "uvicorn"} == set()
    )


def test_the_client_needs_neither_the_libraries_of_the_api_nor_those_of_the_worker():
    loaded = loaded_by("from app.client import AsyncClient, Client; import app.client.progress")
    assert "httpx2" in loaded
    assert loaded & (TENSORFLOW | OF_THE_WORKER | {"fastapi", "starlette", "sqlalchemy", "pandas", "scipy"}) == set()


def test_a_command_on_a_service_elsewhere_loads_nothing_that_works_here():
    commands = "app.cli.showing, app.cli.training, app.cli.backtesting, app.cli.tuning"
    loaded = loaded_by(f"import app.cli.there, {commands}")
    assert loaded & (TENSORFLOW | OF_THE_WORKER | {"fastapi", "sqlalchemy", "pandas", "onnxruntime"}) == set()


def test_the_health_check_loads_what_it_takes_to_ask():
    loaded = loaded_by("import app.cli.health, app.client.readiness")
    assert loaded & {"fastapi", "sqlalchemy", "numpy", "structlog"} == set()


def test_help_is_shown_without_loading_the_service():
    loaded = loaded_by("import app.cli")
    assert "typer" in loaded
    assert loaded & {"numpy", "pandas", "sqlalchemy", "fastapi", "onnxruntime", "pydantic", "structlog"} == set()


def test_nothing_that_can_execute_code_is_read_or_written():
    users = {}
    for name, path in MODULES.items():
        for node in ast.walk(tree_of(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if found := {imported.partition(".")[0] for imported in names} & EXECUTABLE_FORMATS:
                users[name] = found
        if "allow_pickle=True" in path.read_text():
            users[name] = {"allow_pickle"}
    assert users == {}
