from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
GROUPS = PROJECT["dependency-groups"]
BASE = [*PROJECT["project"]["dependencies"], *GROUPS["build"]]
CONTENTS = {
    "api": [*BASE, *EXTRAS["api"], *EXTRAS["scale"]],
    "worker": [*BASE, *EXTRAS["worker"], *EXTRAS["scale"]],
    "gpu": [*BASE, *EXTRAS["gpu"], *EXTRAS["scale"]],
    "run": [*BASE, *EXTRAS["api"], *EXTRAS["worker"], *EXTRAS["postgres"]],
    "audit": GROUPS["audit"],
    "bench": GROUPS["bench"],
    "dev": [*BASE, *EXTRAS["api"], *EXTRAS["worker"], *EXTRAS["scale"], *GROUPS["dev"]],
}
PIN = re.compile(r"^(?P<name>[a-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? \\$", re.MULTILINE)


def read(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text()


def pins(lock: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pin in PIN.finditer(read(lock)):
        found.setdefault(canonicalize_name(pin["name"]), []).append(pin["version"])
    return found


@pytest.mark.parametrize("lock", CONTENTS)
def test_every_direct_dependency_is_pinned_to_a_version_that_pyproject_allows(lock):
    pinned = pins(lock)
    for text in CONTENTS[lock]:
        requirement = Requirement(text)
        versions = pinned[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), text


@pytest.mark.parametrize("lock", CONTENTS)
def test_a_lock_names_no_index_and_no_address(lock):
    lines = read(lock).splitlines()
    assert not [line for line in lines if "://" in line or " @ " in line]
    assert not [line for line in lines if line.startswith("-")]


@pytest.mark.parametrize("lock", CONTENTS)
def test_every_pin_carries_hashes(lock):
    blocks = re.split(r"(?m)^(?=[a-z0-9])", read(lock))[1:]
    assert len(blocks) == sum(map(len, pins(lock).values()))
    assert all("--hash=sha256:" in block for block in blocks)


def test_all_locks_agree_on_every_version():
    tested = pins("dev")
    for lock in CONTENTS:
        shared = {name: versions for name, versions in pins(lock).items() if name in tested}
        assert shared == {name: tested[name] for name in shared}, lock


def test_no_lock_but_those_of_the_workers_brings_tensorflow():
    assert {lock for lock in CONTENTS if {"tensorflow", "tensorflow-cpu", "keras"} & pins(lock).keys()} == {
        "dev",
        "gpu",
        "run",
        "worker",
    }


def test_the_locked_build_backend_is_the_one_that_pyproject_names():
    assert GROUPS["build"] == PROJECT["build-system"]["requires"]
