"""Which runs, models and experiments are new or changed since they were sent. mlflow isn't needed.

Each has a signature over all that an export sends of it: its rows, how far its history goes, and the
sizes and times of its files. The record keeps the one under which it was sent whole.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from remote.tracking import delta
from remote.tracking.export.export_record import ExportRecord, open_record
from remote.tracking.merge.artifact_paths import artifacts_below, is_safe_id, lies_elsewhere
from remote.tracking.schema import EXPERIMENT, MODEL, RUN
from remote.tracking.store import connect_read_only, has_table

Signatures = Dict[str, Dict[str, str]]
"""Of ids, by kind."""


@dataclass(frozen=True)
class ExportOrder:
    """What is exported from where to where.

    `store` is a SQLite store, `root` the folder that its artifacts lie below, `record` the file that
    remembers what was written to the server at `address`; `settings` hold the login. `ids` are those
    of the runs and models to send, by kind.
    """

    store: Path
    root: Path
    record: Path
    address: str
    settings: Mapping[str, str]
    ids: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class LocalFile:
    """A file below an artifact folder; `name` is relative to that."""

    path: Path
    name: str
    size: int
    version: str
    """Size and time of the last change: differs once the file was written again."""


def pending(order: ExportOrder) -> Signatures:
    """What an export would look at; nothing is written."""
    signatures = signatures_here(order)
    if not order.record.is_file():
        return signatures
    with closing(open_record(order.record)) as record:
        return unsent(signatures, record)


def unsent(signatures: Signatures, record: ExportRecord) -> Signatures:
    """Those under which nothing was sent whole."""
    return {
        kind: {
            identity: signature
            for identity, signature in ids.items()
            if record.entity(kind, identity).signature != signature
        }
        for kind, ids in signatures.items()
    }


def signatures_here(order: ExportOrder) -> Signatures:
    """Of all that the order names, if it isn't deleted here, and of the experiments it is in."""
    additions: Signatures = {EXPERIMENT: {}, RUN: {}, MODEL: {}}
    with closing(connect_read_only(order.store)) as database:
        for kind, table, column, location in (
            (RUN, "runs", "run_uuid", "artifact_uri"),
            (MODEL, "logged_models", "model_id", "artifact_location"),
        ):
            for row in _living(database, table, column, location, order.ids[kind]):
                text = f" {_append_only(database, row[0])} {_files_text(order.root, row)}"
                additions[kind][row[0]] = text
                additions[EXPERIMENT][str(row[1])] = ""
    signed = delta.signatures_of(order.store, {kind: list(additions[kind]) for kind in additions})
    return {
        kind: {
            identity: signature + additions[kind][identity]
            for identity, signature in signed[kind].items()
        }
        for kind in additions
    }


def _living(
    database: sqlite3.Connection, table: str, column: str, location: str, ids: Sequence[str]
) -> List[Tuple[str, int, str]]:
    """(id, experiment, location of the artifacts) of those that aren't deleted here."""
    if not has_table(database, table):
        return []
    query = (
        f"SELECT t.{column}, t.experiment_id, t.{location} FROM {table} t JOIN experiments e"
        f" USING (experiment_id) WHERE t.{column} = ? AND t.lifecycle_stage = 'active'"
        " AND e.lifecycle_stage = 'active'"
    )
    safe_ids = filter(is_safe_id, ids)
    return [row for identity in safe_ids for row in database.execute(query, (identity,))]


def _append_only(database: sqlite3.Connection, identity: str) -> Tuple[Any, ...]:
    """What grows without a change in other rows: the history, and what was used."""
    queries = ["SELECT max(rowid) FROM metrics WHERE run_uuid = ?"]
    if has_table(database, "inputs"):
        queries += [
            "SELECT count(*) FROM inputs WHERE destination_type = 'RUN' AND destination_id = ?",
            "SELECT count(*) FROM inputs WHERE source_type IN ('RUN_INPUT', 'RUN_OUTPUT')"
            " AND source_id = ?",
        ]
    return tuple(database.execute(query, (identity,)).fetchone()[0] for query in queries)


def _files_text(root: Path, row: Tuple[str, int, str]) -> str:
    text = "".join(f"{file.name} {file.version}\n" for file in artifact_files(root, row[2], row[0]))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def is_ours_to_send(root: Path, location: object, identity: str) -> bool:
    """False where artifacts lie on this machine, but not in the project."""
    return lies_elsewhere(location) or _folder(root, location, identity) is not None


def artifact_files(root: Path, location: object, identity: str) -> Iterator[LocalFile]:
    """Plain files only: where a link leads isn't the run's."""
    folder = _folder(root, location, identity)
    for parent, folders, names in os.walk(str(folder)) if folder else ():
        folders.sort()
        for name in sorted(names):
            path = Path(parent) / name
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                relative = path.relative_to(folder or "").as_posix()
                version = f"{status.st_size} {status.st_mtime_ns}"
                yield LocalFile(path, relative, status.st_size, version)


def _folder(root: Path, location: object, identity: str) -> Any:
    roots = sorted({str(root.absolute()), str(root.resolve())}, key=len, reverse=True)
    relative = artifacts_below(location, identity, roots=roots)
    return root / relative if relative else None
