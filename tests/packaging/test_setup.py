"""The setup's words when it cannot go on, and the stamp of the one that could."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging import ROOT


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "requirements" / "setup.sh", tmp_path / "requirements")
    return tmp_path


def set_up(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "requirements/setup.sh", ".venv", "run"],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def program(folder: Path, name: str, lines: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def test_a_python_that_tensorflow_does_not_know_is_refused_by_name(checkout):
    too_new = program(checkout, "python3.14", 'case $1 in --version) echo "Python 3.14.0";; *) exit 1;; esac')
    result = set_up(checkout, PYTHON=too_new)
    assert result.returncode == 1
    assert "Python 3.11, 3.12 or 3.13" in result.stderr
    assert f"{too_new} is Python 3.14.0" in result.stderr
    assert not (checkout / ".venv").exists()


def test_a_missing_venv_module_is_named_with_the_package_that_brings_it(checkout):
    # The version check passes, the import of venv does not.
    no_venv = program(checkout, "python3", 'case "$2" in *ensurepip*) exit 1;; esac')
    result = set_up(checkout, PYTHON=no_venv)
    assert result.returncode == 1
    assert "apt install python3-venv" in result.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.slow
def test_an_installation_that_fails_leaves_no_stamp_and_the_next_one_starts_over(checkout):
    (checkout / "requirements" / "run.txt").write_text("surely-no-such-distribution==1.0 --hash=sha256:" + "0" * 64)
    offline = {"PYTHON": sys.executable, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    first = set_up(checkout, **offline)
    assert first.returncode != 0
    assert "surely-no-such-distribution" in first.stderr
    assert not list((checkout / ".venv").glob("ready-*"))

    second = set_up(checkout, **offline)
    assert "Replacing .venv" in second.stderr


@pytest.mark.parametrize("compiles", [True, False], ids=["compiled", "not compiled"])
def test_only_what_was_compiled_is_stamped(checkout, compiles):
    compiled = 0 if compiles else 1
    program(checkout, "in_venv", f'case $* in *compileall*) echo "No space left"; exit {compiled};; esac')
    python = program(checkout, "python3", 'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp in_venv "$3/bin/python"; fi')
    result = set_up(checkout, PYTHON=python)
    assert (result.returncode, (checkout / ".venv" / "ready-run").exists()) == (compiled, compiles)
    assert "Compiling ..." in result.stderr and "No space left" in result.stderr
    assert ("could be compiled" in result.stderr) is not compiles


def test_a_bench_whose_peers_cannot_be_installed_says_so_and_goes_on(tmp_path):
    (tmp_path / "requirements").mkdir()
    for name in ("bench.sh", "bench.txt"):
        shutil.copy(ROOT / "requirements" / name, tmp_path / "requirements")
    # It sets up an environment that has nothing to install with.
    python = program(tmp_path, "python3", 'mkdir -p "$3"')
    result = subprocess.run(
        ["sh", "requirements/bench.sh", ".venv-bench", python],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0
    assert "PyTorch cannot be installed" in result.stderr
    assert not (tmp_path / ".venv-bench").exists()
