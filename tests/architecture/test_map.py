"""The map in ``app/__init__.py`` leads to code that exists."""

from __future__ import annotations

import ast
import re

import pytest

import app
from tests.architecture import MODULES, tree_of

NAMES = re.findall(r"``(app\.[\w.]+)``", app.__doc__ or "")


def test_the_map_names_the_way_of_a_price():
    assert len(NAMES) >= 10


@pytest.mark.parametrize("dotted", NAMES)
def test_a_name_on_the_map_exists(dotted):
    module, _, name = dotted.rpartition(".")
    if dotted in MODULES:
        return
    assert module in MODULES, f"there is no module {module}"
    defined = {
        node.name
        for node in tree_of(MODULES[module]).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assert name in defined
