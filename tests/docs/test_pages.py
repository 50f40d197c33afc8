"""What the pages name is there: pages, sections, pictures, operations, settings, metrics, commands."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient
from typer.main import get_command

from app.api.app import create_app
from app.bootstrap import open_services
from app.cli.main import morrow
from app.cli.reads import SETTINGS_OF
from app.settings import Settings
from tests.browser.test_views import VIEWS, WIDTHS
from tests.docs import INDEX, PAGES, ROOT, anchors_of, prose_of, text_of
from tests.packaging.settings_table import settings_table

CHARACTERS = 150
# Read by the command line, the client and compose alone.
BESIDE_SETTINGS = {"MORROW_API_KEY", "MORROW_SECRETS", "MORROW_URL"}
PICTURES = {path.name: path.stat().st_size for path in (ROOT / "docs" / "screenshots").iterdir()}
PICTURES_BYTES = 1_500_000
OPERATION = re.compile(
    r"(?:\b(?P<method>GET|POST|PUT|DELETE) )?(?<![\w./{])(?:\$BASE)?"
    r"(?P<path>/(?:v1/[\w{}%$^./+-]*\w\}?|livez|readyz|metrics))(?:\?(?P<query>[\w=,&%^-]*))?"
)


def links_of(page: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", prose_of(page))


def test_the_table_of_settings_is_the_one_that_the_code_says():
    assert settings_table() in text_of("README.md"), "paste anew: python -m tests.packaging.settings_table"


def test_every_setting_is_read_by_some_command_and_no_command_reads_another():
    assert {name for names in SETTINGS_OF.values() for name in names} == set(Settings.model_fields)


def test_every_page_is_linked_from_the_index_and_from_the_readme():
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")} - {"README.md"}
    assert pages <= set(links_of(INDEX))
    assert {f"docs/{page}" for page in pages} <= set(links_of("README.md"))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_to_a_section_of_it(page):
    for link in links_of(page):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path if path else ROOT / page).resolve()
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target.relative_to(ROOT).as_posix()), link


@pytest.mark.parametrize("page", PAGES)
def test_no_line_but_those_of_tables_is_too_long(page):
    lines = text_of(page).splitlines()
    assert [line for line in lines if len(line) > CHARACTERS and not line.startswith("|")] == []


def test_every_picture_is_shown_small_and_made_by_the_tests_of_the_views():
    shown = {link.rpartition("/")[2] for page in PAGES for link in links_of(page) if link.endswith(".png")}
    assert shown == set(PICTURES)
    assert shown <= {
        f"{view}-{width}-{scheme}.png" for view in VIEWS for width in WIDTHS for scheme in ("light", "dark")
    }
    assert sum(PICTURES.values()) < PICTURES_BYTES


@pytest.fixture(scope="module")
def operations(template: Any) -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """The operations of each path by a pattern that matches it, however its parameters are written."""
    services = open_services(Settings(home=template / "home"))
    paths = create_app(services).openapi()["paths"]
    services.database.close()
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), found) for path, found in paths.items()]


@pytest.mark.parametrize("page", PAGES)
def test_every_operation_that_is_named_exists_with_its_method_and_parameters(page, operations):
    for match in OPERATION.finditer(text_of(page)):
        path = unquote(match["path"])
        found = [methods for pattern, methods in operations if pattern.fullmatch(path)]
        assert found, match[0]
        method = (match["method"] or "").lower()
        assert not method or any(method in methods for methods in found), match[0]
        asked = {part.partition("=")[0] for part in (match["query"] or "").split("&") if part}
        known = {one["name"] for methods in found for one in methods.get("get", {}).get("parameters", ())}
        assert asked <= known, match[0]


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_is_named_exists(page):
    named = set(re.findall(r"\bMORROW_[A-Z_]*[A-Z]\b", text_of(page)))
    assert named <= {f"MORROW_{name.upper()}" for name in Settings.model_fields} | BESIDE_SETTINGS


def test_every_metric_that_is_named_exists_and_every_metric_is_named(client: TestClient):
    """The time at which a counter was made is none of them."""
    there = set(re.findall(r"^# TYPE (morrow_\w+)", client.get("/metrics").text, re.M))
    named = set(re.findall(r"`(morrow_\w+)", text_of("docs/operations.md")))
    assert named == {name for name in there if not name.endswith("_created")}


@pytest.mark.parametrize("page", PAGES)
def test_every_target_of_make_that_is_named_is_in_the_makefile(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", text_of(page), re.M)) <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_named_exists(page):
    known = set(get_command(morrow).commands)
    named = re.findall(r"(?:`|^|bin/)morrow ([a-z-]+)", text_of(page), re.M)
    assert set(named) <= known


def test_every_test_that_shows_what_the_service_survives_is_there():
    named = set(re.findall(r"`(test_\w+\.py)`", text_of("docs/operations.md")))
    assert named == {path.name for path in (ROOT / "tests" / "chaos").glob("test_*.py")}
