"""The documentation as text: its pages, the blocks in them, and where their links lead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INDEX = "docs/README.md"
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```(\w*) ?(.*)\n((?:(?!```).*\n)*?)```$", re.M)
_CODE = re.compile(r"`([^`]*)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: ``about`` is what stands behind its language."""

    page: str
    line: int
    language: str
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of ``page`` in their order."""
    text = text_of(page)
    found = [Block(page, text.count("\n", 0, match.start()) + 1, *match.groups()) for match in _BLOCK.finditer(text)]
    assert 2 * len(found) == len(re.findall(r"^```", text, re.M)), f"{page} has a block that is not closed"
    return found


def prose_of(page: str) -> str:
    """Return ``page`` without its blocks."""
    return _BLOCK.sub("", text_of(page))


def anchors_of(page: str) -> set[str]:
    """Return where links into ``page`` may lead, as git hosts name its headings."""
    headings = re.findall(r"^#+ (.*)$", prose_of(page), re.M)
    words = (_CODE.sub(r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in words}
