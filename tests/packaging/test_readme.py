from __future__ import annotations

import re

import pytest

from app.cli.main import morrow
from app.cli.reads import SETTINGS_OF
from app.settings import Settings
from tests.packaging import ROOT
from tests.packaging.settings_table import settings_table

README = (ROOT / "README.md").read_text()


def test_the_table_of_settings_is_the_one_that_the_code_says():
    assert settings_table() in README, "paste anew: python -m tests.packaging.settings_table"


def test_every_setting_is_read_by_some_command_and_no_command_reads_another():
    assert {name for names in SETTINGS_OF.values() for name in names} == set(Settings.model_fields)


def test_every_target_that_the_readme_names_is_in_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z]+)", README)) <= targets


def test_every_command_that_the_readme_names_exists():
    known = {command.name or command.callback.__name__ for command in morrow.registered_commands}
    known |= {group.name for group in morrow.registered_groups}
    named = set(re.findall(r"\bmorrow (serve|api|worker|[a-z]+) ?(?:[\[`A-Z'^]|$)", README, re.M))
    assert named
    assert named <= known


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_a_link_leads_to_a_file(path):
    assert (ROOT / path).exists()
