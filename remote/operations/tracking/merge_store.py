"""Merges an MLflow store that lies somewhere on this machine."""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from remote.config import Project
from remote.errors import StoreError
from remote.operations.tracking.destination import ARTIFACTS, STORE, destination, digest
from remote.operations.tracking.pull_records import Records, Say, bring, known, merging
from remote.target import Target
from remote.tracking import delta, filestore
from remote.tracking.store import is_store
from remote.tracking.store_address import StoreAddress, without_password
from remote.transport.rsync_args import Remote


@dataclass(frozen=True)
class Source:
    """A SQLite file or a file store, and the folder that holds its `mlruns`."""

    path: Path
    folder: Path


def merge_store(
    project: Project,
    text: str,
    *,
    artifacts: str = "",
    registry: bool = False,
    say: Say,
    dry_run: bool = False,
) -> Records:
    """Merge the store that `text` names, and copy the artifacts of what changed.

    Raises StoreError where there is no store, or it is the one that is merged into.
    """
    start = time.monotonic()
    to = destination(project)
    records = Records()
    if artifacts and not Path(artifacts).is_dir():
        raise StoreError(f"There is no folder {artifacts}.")
    given = Path(artifacts).resolve() if artifacts else None
    with (
        merging(project),
        tempfile.TemporaryDirectory(dir=project.state, prefix="delta-") as folder,
    ):
        for path in find(text):
            source = Source(path, given or path.parent)
            if isinstance(to.location, Path) and _same(source.path, to.location):
                raise StoreError(f"{source.path} is the store that records are merged into.")
            name = f"store-{digest(str(source.path))}"
            base = to.base(name)
            file = Path(folder) / f"{name}.db"
            write = filestore.write if source.path.is_dir() else delta.write
            roots = [str(source.folder)]
            write(source.path, file, known(to, base), roots=roots, registry=registry)
            _claim(file, source)
            remote = Remote(Target("", "", str(source.folder)), None, name)
            bring(to, file, base, str(source.path), remote, records, say=say, dry_run=dry_run)
    records.seconds = time.monotonic() - start
    return records


def find(text: str) -> list[Path]:
    """The stores that a path or an address names; raises StoreError."""
    path = StoreAddress.parse(text, folder=Path.cwd()).path
    if path is None:
        raise StoreError(
            f"Only a store on this machine's disk can be merged, not {without_password(text)}.",
            "Name a .db file, or a folder with a store; a server's store is a target's:"
            " inv mlflow-pull",
        )
    if not path.exists():
        raise StoreError(f"There is no {path}.", "Name a .db file, or a folder with a store.")
    inner = [path / STORE, path / ARTIFACTS] if path.is_dir() else []
    stores = [each for each in [path, *inner] if is_store(each) or filestore.is_file_store(each)]
    if not stores:
        raise StoreError(
            f"{path} isn't an MLflow store, and holds none.",
            "It takes a SQLite file that MLflow made, or a folder with mlflow.db or mlruns in it.",
        )
    return [each.resolve() for each in stores]


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _claim(file: Path, source: Source) -> None:
    """Have the delta's paths lie below the source's folder, wherever they lay once.

    A database that was copied or moved still names the folder where its records were made.
    """
    if source.path.is_dir():
        delta.add_place(file, source.path.name)
        return
    with closing(sqlite3.connect(file)) as database, database:
        roots = json.loads(
            database.execute("SELECT value FROM meta WHERE key = 'roots'").fetchone()[0]
        )
        for (uri,) in database.execute("SELECT DISTINCT artifact_uri FROM runs"):
            path = unquote(urlsplit(uri).path) if uri and uri.startswith("file:") else uri or ""
            above = re.match(r"(/.*)/(?:mlruns|mlartifacts)/", path)
            roots += [above[1]] if above else []
        longest = sorted(dict.fromkeys(roots), key=len, reverse=True)
        database.execute("UPDATE meta SET value = ? WHERE key = 'roots'", (json.dumps(longest),))
