"""The site is built, in both languages, and every link in it leads somewhere."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("sphinx", reason="the site needs Python 3.11")

from scripts.site.__main__ import build
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Warnings are errors to Sphinx: dead links between pages, pages that no index lists."""
    output = tmp_path_factory.mktemp("site")
    assert build(output) == 0
    return output / "site"


class _Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            elif name in ("href", "src"):
                self.links.append(value or "")


def test_every_document_is_a_page_in_both_languages(site: Path) -> None:
    names = {path.stem for path in (ROOT / "docs").glob("*.md")}
    for place in (site, site / "ja"):
        assert names - {path.stem for path in place.glob("*.html")} == set()


def test_every_link_leads_to_a_page_and_a_heading(site: Path) -> None:
    pages = {path: _Page(path) for path in site.rglob("*.html")}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            address, _, anchor = unquote(link).partition("#")
            place = (path.parent / address.partition("?")[0]).resolve() if address else path
            if re.match("[a-z]+:", link):
                continue
            if not place.exists() or anchor and anchor not in pages[place].ids:
                dead.append((path.relative_to(site).as_posix(), link))
    assert dead == []


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r'<(?:script|img|iframe)[^>]* src="https?:|<link[^>]* href="https?:')
    assert [
        path.name for path in site.rglob("*.html") if loaded.search(path.read_text("utf-8"))
    ] == []


def test_both_languages_can_be_searched(site: Path) -> None:
    index = json.loads(re.search(r"\((\{.*\})\)", (site / "searchindex.js").read_text("utf-8"))[1])  # type: ignore[index]
    assert "snapshot" in index["terms"]
    index = json.loads(re.search(r"\((\{.*\})\)", (site / "ja/searchindex.js").read_text("utf-8"))[1])  # type: ignore[index]
    assert "スナップショット" in index["terms"]


def test_each_page_leads_to_itself_in_the_other_language(site: Path) -> None:
    english, japanese = (_Page(site / path).links for path in ("jobs.html", "ja/jobs.html"))
    assert "ja/jobs.html" in map(os.path.normpath, english)
    assert "../jobs.html" in map(os.path.normpath, japanese)
