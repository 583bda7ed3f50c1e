"""The site is built, in both languages, and every link in it leads somewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("sphinx", reason="the site needs Python 3.11")

from scripts.site.pages import SHARED
from tests.conftest import ROOT, ProjectFolder, make_project

#: Python without a network, in whatever process.
NO_NETWORK = """
import socket
def connect(*address):
    raise OSError("there is no network")
socket.socket.connect = connect
"""


def offline(root: Path, documents: dict[str, str] | None = None) -> ProjectFolder:
    """A project without a network, with these documents; by default all of this repository's."""
    project = make_project(root)
    left = shutil.ignore_patterns("_build", "__pycache__", *(["*.md"] if documents else ()))
    for folder in ("docs", "scripts"):
        shutil.copytree(ROOT / folder, root / folder, ignore=left)
    for name in SHARED:
        shutil.copy(ROOT / name, root)
    for name, text in (documents or {}).items():
        project.write(name, text)
    project.write("no network/sitecustomize.py", NO_NETWORK)
    path = [str(root / "no network"), os.environ.get("PYTHONPATH", "")]
    project.env["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return project


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Warnings are errors to Sphinx: dead links between pages, pages that no index lists."""
    project = offline(tmp_path_factory.mktemp("site") / "project")
    project.make("docs")
    return project.root / "docs/_build/site"


def test_docs_serve_shows_the_site_until_ctrl_c(tmp_path: Path) -> None:
    index = "# Documents\n\n## Project\n\n" + "".join(f"- [x](UP/{name})\n" for name in SHARED)
    places = {"docs/index.md": "..", "docs/ja/index.md": "../.."}
    pages = {path: index.replace("UP", up) for path, up in places.items()}
    project = offline(tmp_path / "project", pages)
    words = ["make", "-s", f"PYTHON={sys.executable}", "docs-serve", "ARGS=--port 0"]
    env = {**os.environ, **project.env}
    shown = subprocess.Popen(
        words, cwd=project.root, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert shown.stdout
        line = shown.stdout.readline()
        address = line.split(" ")[0]
        assert line.endswith(" (Ctrl-C ends it)\n")
        for page in ("index.html", "ja/changelog.html"):
            with urllib.request.urlopen(address + page) as answer:
                assert b"<title>" in answer.read()
    finally:
        os.killpg(shown.pid, signal.SIGINT)
        shown.wait(60)


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
