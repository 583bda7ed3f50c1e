"""Opens a base, if it is one of this server and in good order, and tells what it knows."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from remote.errors import StoreError
from remote.tracking import delta, schema
from remote.upload.base import FORMAT, Base

_UNUSABLE = (sqlite3.DatabaseError, OSError, ValueError)


def open_base(path: Path, source: str, server: str) -> Base:
    """A base of another server, or a damaged one, is moved away. Raises StoreError."""
    if path.exists() and _check(path, server) is None:
        _set_aside(path)
    base = Base(path)
    try:
        owner = base.get("source")
        if owner not in (None, source):
            raise StoreError(f"This merge base belongs to {owner}, not to {source}.")
        for key, value in (("format", FORMAT), ("source", source), ("server", server)):
            base.put(key, value)
    except BaseException:
        base.close()
        raise
    return base


def known(path: Path, server: str) -> dict[str, Any]:
    """What to tell the agent; {} (send everything) without a usable base of this server."""
    return (path.exists() and _check(path, server)) or {}


def _check(path: Path, server: str) -> dict[str, Any] | None:
    """What is known, or None of a base that is of no use."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as database:
            if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return None
            meta = {
                key: json.loads(value)
                for key, value in database.execute("SELECT key, value FROM meta")
            }
            if meta.get("format") != FORMAT or meta.get("server") != server:
                return None
            return _known(database, meta)
    except _UNUSABLE as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise StoreError(f"Another merge is using {path}.", "Wait for it.") from error
        return None


def _known(database: sqlite3.Connection, meta: Mapping[str, Any]) -> dict[str, Any]:
    """With something refused, the mark isn't told: whatever was refused is to be sent again."""
    signatures: dict[str, dict[str, str]] = {kind: {} for kind in schema.KINDS}
    for kind, identity, signature in database.execute(
        "SELECT kind, id, signature FROM entity WHERE signature IS NOT NULL"
    ):
        signatures.setdefault(kind, {})[identity] = signature
    refused = database.execute("SELECT EXISTS (SELECT 1 FROM refused)").fetchone()[0]
    return {
        "format": delta.FORMAT,
        "token": meta.get("token"),
        "watermarks": meta.get("watermarks") or {},
        "signatures": signatures,
        "mark": None if refused else meta.get("mark"),
    }


def _set_aside(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        if os.path.exists(f"{path}{suffix}"):
            os.replace(f"{path}{suffix}", f"{path}.damaged{suffix}")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Two uploads at once would make everything twice. Raises StoreError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(f"Another merge is using {path}.", "Wait for it.") from error
        yield
