"""Addresses of MLflow stores, read as MLflow reads them. Pure.

MLflow hands an address with a database's scheme to SQLAlchemy, whose forms are those of
https://docs.sqlalchemy.org/en/21/core/engines.html#database-urls: `sqlite:///` and a path that is
relative, or absolute with a fourth slash; options follow a question mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Optional
from urllib.parse import unquote, urlsplit

from remote.addresses import without_secrets
from remote.errors import StoreError

SQLITE, FOLDER, SERVER, DATABASE, OTHER = "sqlite", "folder", "server", "database", "other"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(\+[A-Za-z0-9_]+)?:(//)?")
_DATABASES = frozenset({"postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle"})


@dataclass(frozen=True)
class StoreAddress:
    """What an address leads to. `path` is set where that is a file or folder of this machine."""

    kind: str
    """`sqlite`; `folder`: a plain path or file:, of a file store or a project; `server`: http(s);
    `database`: another than SQLite; `other`: what only MLflow itself knows (databricks:// …)."""
    text: str
    path: Optional[Path] = None

    @classmethod
    def parse(cls, text: str, *, folder: Path) -> StoreAddress:
        """Read an address; relative paths begin at `folder`.

        Raises StoreError for a SQLite address without a file, and a file: of another machine.
        """
        scheme = _SCHEME.match(text)
        # A name with a colon that is there is meant as a path.
        if scheme is None or (not scheme[3] and (folder / text).exists()):
            return cls(FOLDER, text, folder / Path(text).expanduser())
        name, rest = scheme[1], text[scheme.end() :]
        if name == "sqlite" and scheme[3]:
            return cls(SQLITE, text, folder / _sqlite_file(text, rest))
        if name == "file":
            url = urlsplit(text)
            if url.netloc not in ("", "localhost"):
                raise StoreError(f"{text} lies on another machine.", "Name a folder of this one.")
            return cls(FOLDER, text, folder / unquote(url.path))
        if name in ("http", "https") and scheme[3]:
            return cls(SERVER, text)
        return cls(DATABASE if name in _DATABASES else OTHER, text)

    def __str__(self) -> str:
        return without_secrets(self.text)


def _sqlite_file(text: str, rest: str) -> str:
    name = _unquoted(rest.partition("?")[0][1:])
    if not rest.startswith("/") or not name or name == ":memory:" or name.startswith("file:"):
        raise StoreError(
            f"{without_secrets(text)} doesn't name a file.",
            "It takes sqlite:///mlflow.db, or sqlite:////abs/mlflow.db.",
        )
    return name


def _unquoted(name: str) -> str:
    """SQLAlchemy takes percent signs as they are before 2.1, and as URLs have them from then on."""
    if "%" not in name:
        return name
    try:
        version = metadata.version("sqlalchemy").split(".")
    except metadata.PackageNotFoundError:
        return unquote(name)
    return unquote(name) if [int(part) for part in version[:2]] >= [2, 1] else name
