"""Merges an MLflow store that lies somewhere on this machine."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from remote.config import Project
from remote.errors import StoreError
from remote.operations.tracking.destination import ARTIFACTS, STORE, destination, digest
from remote.operations.tracking.merge_records import Records, merge_delta, merging
from remote.target import Target
from remote.tracking import merge
from remote.tracking.sources import Source, source_of
from remote.tracking.store_address import StoreAddress
from remote.transport.rsync_args import Remote


def merge_store(
    project: Project,
    text: str,
    *,
    artifacts: str = "",
    registry: bool = False,
    dry_run: bool = False,
) -> Records:
    """Merge the store that `text` names, and copy the artifacts of what changed.

    Raises StoreError where there is no store, or it is the one that is merged into.
    """
    start = time.monotonic()
    to, records = destination(project), Records()
    if artifacts and not Path(artifacts).is_dir():
        raise StoreError(f"There is no folder {artifacts}.")
    with merging(project) as folder:
        for path, source in find(text).items():
            if to.location.exists() and path.samefile(to.location):
                raise StoreError(f"{path} is the store that records are merged into.")
            name = f"store-{digest(str(path))}"
            file = folder / f"{name}.db"
            root = str(Path(artifacts).resolve() if artifacts else path.parent)
            known = merge.pull_state(to.base(name), store=to.location)
            source.write_delta(path, file, known, roots=[root], registry=registry)
            _claim(file)
            remote = Remote(Target("", "", root), None, name)
            merge_delta(
                file, to, records, name=name, source=str(path), remote=remote, dry_run=dry_run
            )
    records.seconds = time.monotonic() - start
    return records


def find(text: str) -> dict[Path, Source]:
    """The stores that a path or an address names, with their kinds; raises StoreError."""
    address = StoreAddress.parse(text, folder=Path.cwd())
    path = address.path
    if path is None:
        raise StoreError(
            f"Only a store on this machine's disk can be merged, not {address}.",
            "Name a .db file, or a folder with a store; a server's store is a target's:"
            " inv mlflow-pull",
        )
    if not path.exists():
        raise StoreError(f"There is no {path}.", "Name a .db file, or a folder with a store.")
    inner = [path / STORE, path / ARTIFACTS] if path.is_dir() else []
    kinds = {candidate.resolve(): source_of(candidate) for candidate in (path, *inner)}
    stores = {store: kind for store, kind in kinds.items() if kind is not None}
    if not stores:
        raise StoreError(
            f"{path} isn't an MLflow store, and holds none.",
            "It takes a SQLite file that MLflow made, or a folder with mlflow.db or mlruns in it.",
        )
    return stores


def _claim(file: Path) -> None:
    """Have the delta's paths lie below the source's folder, wherever they lay once.

    A database that was copied or moved still names the folder where its records were made; a
    source that keeps artifacts in a place of its own has seen to that itself.
    """
    with closing(sqlite3.connect(file)) as database, database:
        if database.execute("SELECT 1 FROM meta WHERE key = 'places'").fetchone():
            return
        roots = json.loads(
            database.execute("SELECT value FROM meta WHERE key = 'roots'").fetchone()[0]
        )
        for (uri,) in database.execute("SELECT DISTINCT artifact_uri FROM runs"):
            path = unquote(urlsplit(uri).path) if uri and uri.startswith("file:") else uri or ""
            above = re.match(r"(/.*)/(?:mlruns|mlartifacts)/", path)
            roots += [above[1]] if above else []
        longest = sorted(dict.fromkeys(roots), key=len, reverse=True)
        database.execute("UPDATE meta SET value = ? WHERE key = 'roots'", (json.dumps(longest),))
