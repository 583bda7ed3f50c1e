"""The rows of a store that say where artifacts are."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Iterator, Mapping, Optional

from remote.tracking import schema
from remote.tracking.check.project_dir import ProjectDir
from remote.tracking.check.tables import columns, quoted

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


def records(database: sqlite3.Connection, project: ProjectDir) -> Iterator[Record]:
    """All of them, experiments first."""
    for table in schema.TABLES:
        present = columns(database, table.name)
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
        f" FROM {quoted(table.name)} t LEFT JOIN {quoted(kind.table)} k"
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
    rows = database.execute(f'SELECT rowid, "{column}", {key} FROM {quoted(table.name)}')
    for rowid, text, *identity in rows:
        label = "/".join(str(part) for part in identity)
        yield Record(table.name, column, rowid, "model_version", label, text)
