"""Every example of the documentation, run as a reader would run it; what cannot run is named, with the reason."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.docs import PAGES, ROOT, Block, blocks_of
from tests.e2e.service import Service, running

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUN = ("bash", "python")
OUTPUT = "text"  # what the block above it prints
REQUEST = "json"  # about: the method and path that it is the body of
OUTPUTS = {block: below for block, below in pairwise(BLOCKS) if below.language == OUTPUT}

#: The blocks that no test runs, by their page and first line.
NOT_RUN = {
    ("README.md", "make run"): "sets up an environment; tests/cli/test_first_run.py runs what it then starts",
    ("docs/tour.md", "make run"): "as in the README",
    ("docs/accuracy.md", ".venv/bin/morrow bench panel --data FOLDER --from 2019-01-01 --out predictions.csv"): (
        "takes the reader's own data; tests/cli/test_panel.py runs it on some of ours"
    ),
    ("docs/performance.md", "make bench"): "takes half an hour; tests/bench/test_harness.py runs its parts",
    ("docs/recipes.md", ".venv/bin/morrow bench recipes --data FOLDER --seeds 3 --format markdown"): (
        "takes hours; tests/cli/test_recipes.py runs it on less"
    ),
    ("docs/operations.md", "sh deploy/secrets.sh && docker compose up --build"): (
        "needs an engine; tests/packaging/test_containers.py reads it"
    ),
    (
        "docs/operations.md",
        "docker compose exec api morrow keys create --name dashboard --scope read",
    ): "needs an engine",
    (
        "docs/operations.md",
        'docker compose run --rm --no-deps -v "$PWD:/backup:ro" --entrypoint morrow worker restore '
        "/backup/morrow.tar --home /data/restored",
    ): "needs an engine; tests/cli/test_keeping.py restores and changes places",
    ("docs/operations.md", ".venv/bin/morrow migrate-registry --to postgresql+psycopg://user@host/database"): (
        "needs a server and a service that is stopped; tests/cli/test_keeping.py moves one"
    ),
    ("docs/operations.md", "docker compose stop api worker"): "needs an engine; tests/cli/test_keeping.py moves one",
    ("docs/operations.md", "export MORROW_BROKER_URL=redis://:password@host:6379/0"): (
        "needs a broker; tests/worker/test_carried.py has one of its own"
    ),
    ("docs/operations.md", "location /morrow/ {"): "needs nginx",
    (
        "docs/operations.md",
        "export MORROW_MODELS_STORE=s3://morrow/models MORROW_SNAPSHOTS_STORE=s3://morrow/snapshots",
    ): "needs a server; tests/e2e/test_s3.py trains and serves by these settings on one of its own",
    ("docs/security.md", ".venv/bin/morrow keys create --name dashboard --scope read --days 90"): (
        "would close the service of the other examples; tests/cli/test_guarding.py runs it"
    ),
}

# Numbers, and ids in hexadecimal digits: they are others on each machine.
_CHANGING = re.compile(r"\b[0-9a-f]{16,}\b|[-+]?\d[\d.,]*(?:e-\d+)?")
_MARK = "=== block {} ==="


def first_line(block: Block) -> str:
    return block.text.partition("\n")[0]


def test_every_block_is_run_checked_or_excused():
    excused = [(block.page, first_line(block)) for block in BLOCKS if block.language not in (*RUN, OUTPUT, REQUEST)]
    assert sorted(excused) == sorted(NOT_RUN)


def test_every_output_stands_below_a_block_that_is_run():
    assert [str(below) for block, below in OUTPUTS.items() if block.language not in RUN] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == REQUEST], ids=str)
def test_a_request_is_one_that_the_service_takes(block: Block, client: TestClient):
    method, path = block.about.split()
    answer = client.request(method, path, content=block.text, headers={"content-type": "application/json"})
    assert answer.is_success, answer.text


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Service]:
    """A service as `make run` leaves it: it has trained ^GSPC on the sample."""
    with running(home, MORROW_SOURCE="sample") as service:
        job = service.finished("/v1/train", {"ticker": "^GSPC", "data": {"source": "sample"}})
        assert job["state"] == "succeeded", job["error"]
        yield service


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which `.venv/bin/morrow` is the command line of these sources."""
    command = tmp_path / ".venv" / "bin" / "morrow"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m app "$@"\n')
    command.chmod(0o755)
    return tmp_path


def blocks_with(language: str) -> list[tuple[str, list[Block]]]:
    found = [(page, [block for block in blocks_of(page) if block.language == language]) for page in PAGES]
    return [(page, blocks) for page, blocks in found if blocks]


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("page", "blocks"), blocks_with("bash"), ids=lambda value: value if value in PAGES else "")
def test_the_shell_examples_of_a_page_work_as_pasted(
    page: str, blocks: list[Block], service: Service, home: Path, checkout: Path
):
    # What is not expected to be refused may not be: those examples show their answer's head with -i.
    script = "\n".join(f"echo '{_MARK.format(n)}'\n{block.text}" for n, block in enumerate(blocks))
    script = script.replace("curl -s", "curl -fsS")
    said = run_at(checkout, ["bash", "-eu", "-c", script], BASE=service.url, MORROW_HOME=str(home))
    assert_outputs(blocks, said)
    assert service.ask("/v1/jobs?state=failed") == (200, {"items": []})


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize(("page", "blocks"), blocks_with("python"), ids=lambda value: value if value in PAGES else "")
def test_the_python_examples_of_a_page_work_as_pasted(page: str, blocks: list[Block], service: Service, checkout: Path):
    code = "\n".join(f"print('{_MARK.format(n)}')\n{block.text}" for n, block in enumerate(blocks))
    said = run_at(checkout, [sys.executable, "-W", "error", "-c", code], BASE=service.url)
    assert_outputs(blocks, said)
    assert service.ask("/v1/jobs?state=failed") == (200, {"items": []})


def run_at(folder: Path, command: Sequence[str], **variables: str) -> str:
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
    return result.stdout


def assert_outputs(blocks: Sequence[Block], said: str) -> None:
    """What a page shows as output is what came, but for the numbers."""
    printed = re.split(f"{_MARK.format('[0-9]+')}\n", said)[1:]
    assert len(printed) == len(blocks)
    for block, text in zip(blocks, printed, strict=True):
        if block in OUTPUTS:
            assert in_form(text) == in_form(OUTPUTS[block].text), f"paste anew below {block}:\n{text}"


def in_form(text: str) -> list[str]:
    return [" ".join(_CHANGING.sub("#", line).split()) for line in text.strip().splitlines()]
