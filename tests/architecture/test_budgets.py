from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture import FILES, MODULES, ROOT, tree_of

MODULE_LINES = 300
FUNCTION_LINES = 40
PAGE_WIDTH = 150


def functions_of(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    whole = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        whole -= first.end_lineno - first.lineno + 1
    return whole


def test_no_module_is_longer_than_a_few_screens():
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > MODULE_LINES} == {}


def test_no_part_of_the_page_is_longer_or_wider_than_can_be_read():
    parts = [path for path in (ROOT / "app" / "api" / "page").iterdir() if path.suffix in (".js", ".css", ".html")]
    lines = {path.name: path.read_text().splitlines() for path in parts}
    assert len(lines) > 10
    assert {name: len(part) for name, part in lines.items() if len(part) > MODULE_LINES} == {}
    assert [(name, line) for name, part in lines.items() for line in part if len(line) > PAGE_WIDTH] == []


def test_what_the_overview_is_made_of_is_loaded_at_once_and_not_one_after_the_other():
    page = ROOT / "app" / "api" / "page"
    early = set(re.findall(r'rel="modulepreload" href="page/(\w+\.js)"', (page / "index.html").read_text()))
    needed, found = {"main.js", "overview.js"}, set()
    while new := needed - found:
        found |= new
        needed |= {name for part in new for name in re.findall(r'from "\./(\w+\.js)"', (page / part).read_text())}
    assert early == needed - {"main.js"}


def test_no_function_is_longer_than_a_screen():
    too_long = {
        f"{name}.{function.name}": length
        for name, path in MODULES.items()
        for function in functions_of(tree_of(path))
        if (length := lines_without_docstring(function)) > FUNCTION_LINES
    }
    assert too_long == {}


def test_no_module_is_a_drawer_for_everything():
    drawers = {"utils", "util", "helpers", "common_utils", "misc"}
    assert [path for path in FILES if path.stem in drawers or path.parent.name in drawers] == []


def test_an_import_inside_a_function_says_why():
    silent = []
    for name, path in MODULES.items():
        lines = path.read_text().splitlines()
        for function in functions_of(tree_of(path)):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom) and not has_comment(lines, node.lineno):
                    silent.append(f"{name}:{node.lineno}")
    assert silent == []


def has_comment(lines: list[str], number: int) -> bool:
    """Whether the line, or the run of imports that it is in, has a comment on or right above it."""
    if "#" in lines[number - 1]:
        return True
    above = number - 2
    while lines[above].lstrip().startswith(("import ", "from ")):
        above -= 1
    return lines[above].lstrip().startswith("#")
