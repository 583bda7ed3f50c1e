"""The rows of a store that say where artifacts are, and the forms in which they say it.

MLflow writes `/p`, `file:///p` (percent-encoded), and `mlflow-artifacts:/p`, which only a server can
read: it keeps `p` in the folder mlartifacts that it was started beside. What names no folder of
this machine (`s3://…`, `models:/…`, a relative path) is not checked.
"""

from __future__ import annotations

import posixpath
import sqlite3
from dataclasses import dataclass
from typing import Iterator, Mapping, Optional
from urllib.parse import quote, unquote, urlsplit

from remote.tracking import schema
from remote.tracking.check.project_dir import ProjectDir
from remote.tracking.store import columns_of

ARCHIVE = "mlflow.trace.archiveLocation"
_MORE_TAGS: Mapping[str, tuple[str, ...]] = {"trace_tags": (ARCHIVE,)}
"""Tags with a path that the table of tables doesn't name: a merge doesn't carry them."""


@dataclass(frozen=True)
class Record:
    """One value that says where something is.

    `kind` is that of schema.KINDS, or the table where it is none of them; `standard` is where
    MLflow would have put it in this project.
    """

    table: str
    column: str
    rowid: int
    kind: str
    id: str
    text: object
    standard: Optional[str] = None
    is_root: bool = False
    """A place for what is to come, like an experiment's, rather than for what was written."""
    tag: str = ""

    @property
    def label(self) -> str:
        """How it is named to the user."""
        return f"{self.kind.replace('_', ' ')} {self.id}"


@dataclass(frozen=True)
class Location:
    """Where a record says its files are: `path` is absolute; of a `served` one, below mlartifacts."""

    path: str
    is_url: bool = False
    served: bool = False

    @classmethod
    def parse(cls, text: object) -> Optional[Location]:
        """None for what names no folder of this machine."""
        if not isinstance(text, str):
            return None
        if text.startswith("/"):
            return cls(_normal(text))
        try:
            url = urlsplit(text)
        except ValueError:
            return None
        if url.scheme == "file" and url.netloc in ("", "localhost") and url.path.startswith("/"):
            return cls(_normal(unquote(url.path)), is_url=True)
        if url.scheme == "mlflow-artifacts" and not url.netloc:
            return cls(_normal("/" + unquote(url.path)), served=True)
        return None

    def written(self, path: str) -> str:
        """Another path in this one's form; a plain one instead of one that a server reads."""
        return f"file://{quote(path)}" if self.is_url else path


def records(database: sqlite3.Connection, project: ProjectDir) -> Iterator[Record]:
    """All of them, experiments first."""
    for table in schema.TABLES:
        present = columns_of(database, "main", table.name)
        if table.path in present:
            yield from _path_records(database, table, project)
        for column in table.sources:
            if column in present:
                yield from _source_records(database, table, column)


def _path_records(
    database: sqlite3.Connection, table: schema.Table, project: ProjectDir
) -> Iterator[Record]:
    kind = schema.KINDS[table.owner]
    tags = (*table.path_keys, *_MORE_TAGS.get(table.name, ())) if table.path_keys else ()
    key = f't."{table.key[0]}"' if tags else "''"
    rows = database.execute(
        f'SELECT t.rowid, t."{table.path}", t."{table.owner_column}", k.experiment_id, {key}'
        f' FROM "{table.name}" t LEFT JOIN "{kind.table}" k'
        f' ON k."{kind.column}" = t."{table.owner_column}"'
        + (f" WHERE {key} IN ({', '.join('?' * len(tags))})" if tags else ""),
        tags,
    )
    for rowid, text, identity, experiment, tag in rows:
        folder = f"{project.mlruns}/{experiment}"
        is_root = kind.folder is None
        standard = folder if is_root else f"{folder}/{kind.folder}{identity}/artifacts"
        yield Record(
            table.name,
            table.path,
            rowid,
            kind.name,
            str(identity),
            text,
            standard=standard if experiment is not None else None,
            is_root=is_root,
            tag=tag,
        )


def _source_records(
    database: sqlite3.Connection, table: schema.Table, column: str
) -> Iterator[Record]:
    key = ", ".join(f'"{name}"' for name in table.key)
    rows = database.execute(f'SELECT rowid, "{column}", {key} FROM "{table.name}"')
    for rowid, text, *identity in rows:
        label = "/".join(str(part) for part in identity)
        yield Record(table.name, column, rowid, "model_version", label, text)


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")
