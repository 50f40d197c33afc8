"""A package that nobody could judge is not a package without vulnerabilities."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging import ROOT

GOOD = {"name": "numpy", "version": "2.0", "vulns": []}
SKIPPED = {"name": "pandas", "skip_reason": "not found"}
BAD = {"name": "jinja2", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}

# Stands in for the tools' environment: their programs write what the test laid out, the verdict is the real one.
TOOLS = f"""#!/bin/sh
out=; lock=
for word in "$@"; do
    case $before in --output-file | --output) out=$word ;; --vulnerability-service) service=$word ;; esac
    case $word in requirements/*.txt) lock=$(basename "$word" .txt) ;; esac
    before=$word
done
case "$*" in
    *cyclonedx_py*) cp sbom.json "$out" ;;
    *pip_audit*) echo "$lock $service" >> asked; cp "told/$lock-$service.json" "$out" ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    for path in (ROOT / "requirements").glob("audit*"):
        shutil.copy(path, tmp_path / "requirements")
    (tmp_path / "told").mkdir()
    (tmp_path / "sbom.json").write_text(json.dumps({"components": [GOOD, BAD]}))
    tools = tmp_path / "tools" / "bin" / "python"
    tools.parent.mkdir(parents=True)
    tools.write_text(TOOLS)
    tools.chmod(0o755)
    shutil.copy(tmp_path / "requirements" / "audit.txt", tmp_path / "tools" / "ready")
    return tmp_path


def audit(checkout: Path, **told: list[dict] | None) -> subprocess.CompletedProcess[str]:
    """Run the audit when each service tells ``told`` of a lock, ``None``: it does not answer."""
    for name, packages in told.items():
        if packages is not None:
            path = checkout / "told" / f"{name.replace('_', '-')}.json"
            path.write_text(json.dumps({"dependencies": packages}))
    return subprocess.run(
        ["sh", "requirements/audit.sh", "tools"], cwd=checkout, capture_output=True, text=True, check=False
    )


def test_all_that_was_judged_and_is_clean_passes(checkout):
    answer = audit(checkout, api_pypi=[GOOD], worker_pypi=[GOOD])
    assert (answer.returncode, "NOT AUDITED" in answer.stdout) == (0, False)
    assert {path.name for path in (checkout / "build").glob("sbom-*")} == {"sbom-api.json", "sbom-worker.json"}


@pytest.mark.parametrize("told", [[GOOD, SKIPPED], [SKIPPED], [], None], ids=["some", "skipped", "empty", "no answer"])
def test_what_could_not_be_judged_never_passes(checkout, told):
    answer = audit(checkout, api_pypi=[GOOD], worker_pypi=told, worker_osv=told)
    assert answer.returncode == 75
    assert "worker: NOT AUDITED" in answer.stdout
    assert (checkout / "asked").read_text().split("\n")[:-1] == ["api pypi", "worker pypi", "worker osv"]


def test_another_service_may_know_what_the_first_does_not(checkout):
    answer = audit(checkout, api_pypi=[SKIPPED], api_osv=[GOOD], worker_pypi=[GOOD])
    assert answer.returncode == 0


@pytest.mark.parametrize(("api", "worker"), [([BAD], [SKIPPED]), ([SKIPPED], [BAD, SKIPPED]), ([BAD], [GOOD])])
def test_a_vulnerability_outweighs_what_could_not_be_judged(checkout, api, worker):
    answer = audit(checkout, api_pypi=api, api_osv=api, worker_pypi=worker, worker_osv=worker)
    assert answer.returncode == 3
    assert "jinja2 1.0 has CVE-1; fixed in: 1.1" in answer.stdout


def test_without_a_bill_of_materials_nothing_passes(checkout):
    (checkout / "sbom.json").unlink()
    assert audit(checkout, api_pypi=[GOOD], worker_pypi=[GOOD]).returncode == 1


def test_continuous_integration_goes_on_after_that_one_code_alone():
    script = (ROOT / ".ci" / "run").read_text()
    assert "requirements/audit.sh" in script
    branches = re.search(r"case \$audited in\n(.*?)esac", script, re.S)[1]
    assert re.findall(r"^ +(\S+)\)", branches, re.M) == ["0", "75", "*"]
    assert 'exit "$audited"' in branches
