"""The Markdown pages: their links lead somewhere, they say for whom they are, and README stays short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from caffezoo.report.sections import find_sections
from caffezoo.report.tables import TABLES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def names(pages: tuple[Path, ...]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


def prose(page: Path) -> str:
    """The page without its code, where brackets mean other things."""
    text = re.sub(r"^(```.*?^```|    .*?)$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`", "", text)


def links(page: Path) -> Iterator[str]:
    yield from (match["target"] for match in LINK.finditer(prose(page)))


def anchors(page: Path) -> set[str]:
    """What a heading is called in an address, by the rule of the usual Markdown hosts."""
    titles = re.findall(r"^#+ +(.+?)\s*$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


def test_links_are_found() -> None:
    assert "docs/weights.md" in set(links(ROOT / "README.md"))
    assert "architecture.md" in set(links(DOCS / "README.md"))


DOC_PAGES = tuple(page for page in PAGES if DOCS in page.parents)


@pytest.mark.parametrize("page", DOC_PAGES, ids=names(DOC_PAGES))
def test_a_page_says_for_whom_it_is(page: Path) -> None:
    assert re.match(r"# [^\n]+\n\n\*This page is for ", page.read_text("utf-8"))


@pytest.mark.parametrize("page", DOC_PAGES, ids=names(DOC_PAGES))
def test_the_index_of_docs_has_every_page(page: Path) -> None:
    index = page.parent / "README.md"
    listed = {(index.parent / target).resolve() for target in links(index)}
    assert page == index or page in listed


def test_readme_is_read_in_three_minutes() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 250


def test_every_table_stands_on_a_page() -> None:
    pages = (ROOT / "README.md", *(DOCS / "tables").glob("*.md"))
    shown = {section.name for page in pages for section in find_sections(page.read_text("utf-8"), TABLES, str(page))}
    assert shown == set(TABLES)
