"""Where a store's records say that artifacts are, and where they should lead.

MLflow writes `/p`, `file:///p` (percent-encoded), and `mlflow-artifacts:/p`, which only a server can
read: it keeps `p` in the folder mlartifacts that it was started beside. What names no folder of
this machine (`s3://…`, `models:/…`, a relative path) is not checked.

A path is right below this project's mlruns. One from elsewhere can be mended when the files it
means are here: at the same place below mlruns, or where MLflow would have put them. Files decide;
a path with no file at either end follows those of the same old project.
"""

from __future__ import annotations

import os
import posixpath
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Iterator, Optional, Sequence
from urllib.parse import quote, unquote, urlsplit

from remote.tracking import schema
from remote.tracking.store import columns_of, connect_read_only, usable, writing

_IN_PROJECT = re.compile(r"(.*)/((?:mlruns|mlartifacts)(?:/.*)?)", re.DOTALL)


class State(Enum):
    """Where a path leads."""

    FINE = ""
    MOVED = "to {old}, and the files are in this project now"
    SERVED = "to mlflow-artifacts:/, which a client without a server can't open"
    OUTSIDE = "out of this project"


class ProjectDir:
    """The folder of a store, whose `mlruns` holds its artifacts."""

    def __init__(self, store: Path) -> None:
        self.folder = os.path.abspath(store.parent).rstrip("/")
        self.mlruns = f"{self.folder}/mlruns"
        self.served = f"{self.folder}/mlartifacts"
        """In which an `mlflow ui` started here keeps artifacts."""
        self._folders = {self.folder, os.path.realpath(store.parent)}
        names = [f"{top}/{name}" for top in self._folders for name in ("mlruns", "mlartifacts")]
        self._artifacts = {*names, *map(os.path.realpath, names)}

    def contains(self, path: str) -> bool:
        return any(_is_below(path, top) for top in self._folders)

    def keeps(self, path: str) -> bool:
        """True below mlruns or mlartifacts, however it gets there (a link, a real path)."""
        return any(_is_below(path, top) for top in self._artifacts)


@dataclass
class StoredPath:
    """One value that says where something is, and what is to become of it.

    `kind` is that of schema.KINDS, or the table where it is none of them; `standard` is where
    MLflow would have put it in this project.
    """

    table: str
    column: str
    rowid: int
    kind: str
    id: str
    text: str
    standard: Optional[str] = None
    is_root: bool = False
    """A place for what is to come, like an experiment's, rather than for what was written."""
    path: str = ""
    """Absolute; of a `served` one, below mlartifacts."""
    is_url: bool = False
    served: bool = False
    old: str = ""
    """The project that the path most likely names; empty where it names none."""
    here: str = ""
    """The same place in this project; empty likewise."""
    has_files: bool = False
    """There are files where it leads, out of this project's mlruns."""
    state: State = State.FINE
    target: Optional[str] = None
    """Where it should lead, absolute, where that isn't `path`."""

    @property
    def label(self) -> str:
        """How it is named to the user."""
        return f"{self.kind.replace('_', ' ')} {self.id}"

    @property
    def place(self) -> str:
        """Where its files should be."""
        return self.target or self.path

    @property
    def written(self) -> str:
        """The target in the record's form; a plain path instead of one that a server reads."""
        target = str(self.target)
        return f"file://{quote(target)}" if self.is_url else target


def paths_of(store: Path) -> list[StoredPath]:
    """All of a store, as `stored_paths` has them; raises StoreError."""
    with usable(store), closing(connect_read_only(store)) as database:
        # Every statement is a transaction of its own: a long one would keep writers out.
        database.isolation_level = None
        return stored_paths(database, ProjectDir(store))


def mend_paths(store: Path, paths: Sequence[StoredPath]) -> list[StoredPath]:
    """Has those lead to their targets that have one, in one transaction; they come back.

    One that was changed since it was read is left as it is. Raises StoreError.
    """
    mendable = [path for path in paths if path.target]
    if not mendable:
        return []
    with writing(store) as database:
        return [path for path in mendable if _is_mended(database, path)]


def _is_mended(database: sqlite3.Connection, path: StoredPath) -> bool:
    query = f'UPDATE "{path.table}" SET "{path.column}" = ? WHERE rowid = ? AND "{path.column}" = ?'
    return database.execute(query, (path.written, path.rowid, path.text)).rowcount > 0


def stored_paths(database: sqlite3.Connection, project: ProjectDir) -> list[StoredPath]:
    """One for each record that names a folder of this machine, experiments first."""
    paths = [path for path in _records(database, project) if _locate(path)]
    strangers = [path for path in paths if not path.served and not project.keeps(path.path)]
    for path in strangers:
        path.has_files = has_file(path.path)
        match = _IN_PROJECT.fullmatch(path.path)
        if match:
            path.old, path.here = match[1] or "/", f"{project.folder}/{match[2]}"
    moved = {path.old for path in strangers if _shows_a_move(path, project)}
    for path in strangers:
        path.target = _target(path, moved)
        if path.target:
            path.state = State.MOVED
        elif not project.contains(path.path):
            path.state = State.OUTSIDE
    for path in paths:
        if path.served:
            path.state, path.target = State.SERVED, _served_target(path, project)
    # What a server keeps elsewhere is no more checked than a bucket.
    return [path for path in paths if path.target or not path.served]


def _shows_a_move(path: StoredPath, project: ProjectDir) -> bool:
    """True where the files of the project that it names are here now.

    The Default experiment is made with the store: where it names a project of which nothing is
    left, the store was moved from there, even if no run ever wrote a file.
    """
    if path.old in ("", project.folder):
        return False
    if path.is_root:
        return path.id == "0" and not has_file(f"{path.old}/mlruns")
    return has_file(path.here)


def _target(path: StoredPath, moved: set[str]) -> Optional[str]:
    """Where a path from elsewhere should lead."""
    places = filter(None, (path.here, path.standard))
    with_files = next((place for place in places if has_file(place)), None)
    following = path.here if path.old in moved else None
    if path.is_root:
        # It may be empty, and that it isn't says nothing.
        return following or (None if path.has_files else with_files)
    if path.has_files and with_files and _has_more(path.path, with_files):
        return None  # the old place has grown since: copying comes before mending
    return with_files or (None if path.has_files else following)


def _served_target(path: StoredPath, project: ProjectDir) -> Optional[str]:
    """None where the server keeps its files elsewhere."""
    if path.is_root:
        return project.mlruns + path.path
    served = project.served + path.path
    places = filter(None, (served, project.mlruns + path.path, path.standard))
    place_with_files = next((place for place in places if has_file(place)), None)
    return place_with_files or (served if has_file(project.served) else None)


def _locate(path: StoredPath) -> bool:
    """Read its text; False where that names no folder of this machine."""
    if not isinstance(path.text, str):
        return False
    place = path.text
    if not place.startswith("/"):
        try:
            url = urlsplit(path.text)
        except ValueError:
            return False
        path.is_url = url.scheme == "file" and url.netloc in ("", "localhost")
        path.served = url.scheme == "mlflow-artifacts" and not url.netloc
        if not path.served and not (path.is_url and url.path.startswith("/")):
            return False
        place = "/" + unquote(url.path)
    path.path = "/" + posixpath.normpath(place).lstrip("/")
    return True


def _records(database: sqlite3.Connection, project: ProjectDir) -> Iterator[StoredPath]:
    for table in schema.TABLES:
        present = columns_of(database, "main", table.name)
        if table.path in present:
            yield from _path_records(database, table, project)
        for column in table.sources:
            if column in present:
                key = ", ".join(f'"{name}"' for name in table.key)
                rows = database.execute(f'SELECT rowid, "{column}", {key} FROM "{table.name}"')
                for rowid, text, *identity in rows:
                    label = "/".join(map(str, identity))
                    yield StoredPath(table.name, column, rowid, "model_version", label, text)


def _path_records(
    database: sqlite3.Connection, table: schema.Table, project: ProjectDir
) -> Iterator[StoredPath]:
    kind, tags = schema.KINDS[table.owner], table.path_keys
    rows = database.execute(
        f'SELECT t.rowid, t."{table.path}", t."{table.owner_column}", k.experiment_id'
        f' FROM "{table.name}" t LEFT JOIN "{kind.table}" k'
        f' ON k."{kind.column}" = t."{table.owner_column}"'
        + (f' WHERE t."{table.key[0]}" IN ({", ".join("?" * len(tags))})' if tags else ""),
        tags,
    )
    for rowid, text, identity, experiment in rows:
        path = StoredPath(table.name, table.path, rowid, kind.name, str(identity), text)
        path.is_root = kind.folder is None
        if experiment is not None:
            folder = f"{project.mlruns}/{experiment}"
            inside = "" if path.is_root else f"/{kind.folder}{identity}/artifacts"
            path.standard = folder + inside
        yield path


def has_file(path: str) -> bool:
    """True for a file, or a folder with a file somewhere in it."""
    return os.path.isfile(path) or next(_files(path), None) is not None


def _has_more(folder: str, other: str) -> bool:
    """True where `folder` holds a file that `other` doesn't."""
    return any(not os.path.lexists(os.path.join(other, name)) for name in _files(folder))


def _files(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), folder)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
