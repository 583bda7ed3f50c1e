"""What stands in the repository, as pages for Sphinx. Pure.

The documents are written for a reader of the repository: a link leads to a file, and the same
file is the English page in `docs/` and the Japanese one in `docs/ja/`. Here links between files
become links between pages, `<!-- reference: NAME -->` becomes what `scripts.site.reference` makes
of the code, and the lists of an index become the site's navigation.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

#: Where the documents of each language are.
FOLDERS = {"en": "docs", "ja": "docs/ja"}

#: Documents beside `docs/` that are pages too, by their names there. Both languages show them.
SHARED = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}

#: What the code hosts show first; the site begins with its index.
READMES = ("README.md", "docs/ja/README.md")

INDEX = "index.md"

#: The pictures of all languages, beside the English documents.
PICTURES = "pictures"

_LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\(([^()\s]+)\)")
_MARK = re.compile(r"^<!-- reference: ([a-z-]+) -->$", re.MULTILINE)
_BREADCRUMBS = re.compile(r"\A(# .*\n\n)\[(?:日本語|English)\]\(.*\n\n?")
_ENTRY = re.compile(r"^- \[[^\]]+\]\(([\w-]+)\.md\)", re.MULTILINE)


def site_pages(language: str, documents: Iterable[str]) -> dict[str, str]:
    """The name of the page in the site of a `language`, for each of these paths that is one."""
    folder = FOLDERS[language]
    own = [path for path in documents if posixpath.dirname(path) == folder]
    names = {path: posixpath.basename(path) for path in own if path not in READMES}
    return {**names, **SHARED}


def page(
    text: str, path: str, pages: Mapping[str, str], blocks: Mapping[str, Callable[[], str]]
) -> str:
    """A document at `path` as a page among `pages`; raises KeyError for an unknown mark."""
    text = _BREADCRUMBS.sub(r"\1", text)
    text = re.sub(rf"(!\[[^\[\]]*\]\()(?:[\w./]*/)?({PICTURES}/)", r"\1\2", text)
    text = _LINK.sub(lambda link: _site_link(link[1], link[2], path, pages), text)
    text = _MARK.sub(lambda mark: blocks[mark[1]](), text)
    return text + navigation(text) if pages.get(path) == INDEX else text


def _site_link(label: str, address: str, path: str, pages: Mapping[str, str]) -> str:
    """A link of the document at `path`; only its label where that leads to no page."""
    if "://" in address or address.startswith("#"):
        return f"[{label}]({address})"
    file, _, anchor = address.partition("#")
    file = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
    name = INDEX if file in READMES else pages.get(file) or _counterpart(file, pages)
    if name is None:
        return label
    # Titles differ between languages, and an index has no title of a README.
    return f"[{label}]({name}#{anchor})" if anchor and file in pages else f"[{label}]({name})"


def _counterpart(file: str, pages: Mapping[str, str]) -> str | None:
    """The page that a document of another language is, in this one."""
    name = PurePosixPath(file).name
    return name if file.startswith("docs/") and name in pages.values() else None


def navigation(index: str) -> str:
    """Hidden toctrees: a caption for each heading, and the pages that the list below it links."""
    trees = []
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        names = [name for name in _ENTRY.findall(section) if name != PurePosixPath(INDEX).stem]
        if names:
            caption = section.splitlines()[0]
            lines = ["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```"]
            trees.append("\n".join(lines))
    return "\n\n" + "\n\n".join(trees) + "\n"
