"""What pip-audit found out, and what it could not: ``audit_verdict.py LOCK SERVICE FOLDER``; see ``audit.sh``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

CLEAN, VULNERABLE, NOT_JUDGED = 0, 3, 75


def main(lock: str, service: str, folder: str) -> int:
    """Print the verdict on a lock and return the exit code that stands for it."""
    try:
        packages = json.loads((Path(folder) / f"audit-{lock}.json").read_text())["dependencies"]
    except (OSError, ValueError):
        packages = []  # it broke off: the log says why
    components = json.loads((Path(folder) / f"sbom-{lock}.json").read_text())["components"]
    judged = [package for package in packages if "vulns" in package]
    known = [(package, found) for package in judged for found in package["vulns"]]
    say(f"{lock}: {len(components)} components in {folder}/sbom-{lock}.json")
    for package, found in known:
        fixed = ", ".join(found["fix_versions"]) or "none yet"
        say(f"{lock}: {package['name']} {package['version']} has {found['id']}; fixed in: {fixed}")
    if known:
        return VULNERABLE
    if not packages or len(judged) < len(packages):
        of_all = f"{len(judged)} of {len(packages)}" if packages else "none"
        say(f"{lock}: NOT AUDITED: the service {service!r} could judge {of_all} of the packages.")
        return NOT_JUDGED
    say(f"{lock}: the service {service!r} knows no vulnerability of {len(judged)} packages.")
    return CLEAN


def say(line: str) -> None:
    """Write a line that a person reads."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
