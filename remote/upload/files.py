"""Artifacts, through the server's own artifact store (`mlflow-artifacts:`).

A file is sent if the base doesn't know it, or knows it with another content. Size and time of the
last change tell that without reading it; where only the time differs, a hash over the content does.
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from remote.tracking import schema
from remote.tracking.merge.artifact_paths import artifacts_below, lies_elsewhere
from remote.tracking.merge.merge_session import Progress
from remote.tracking.merge.summary import ArtifactFolder, Refusal
from remote.upload.answers import NoSuchCall, Rejected
from remote.upload.base import Base
from remote.upload.server import Server
from remote.upload.session import Session
from remote.upload.summary import ArtifactSummary

_BLOCK = 1 << 20
_ROOT = "mlruns"
"""As at the source, so that the runs of an experiment can be fetched together."""


def name_folder(session: Session, kind: str, identity: str, experiment: int, where: object) -> None:
    """From now on the folder is among those to send. `where` the artifacts are at the source."""
    folder = schema.KINDS[kind].folder
    if folder is None or where is None:
        return
    remote = artifacts_below(where, identity, roots=session.roots, places=session.places)
    if remote is not None:
        local = f"{_ROOT}/{experiment}/{folder}{identity}/artifacts"
        row = (local, remote, kind, identity)
        session.base.run("INSERT OR REPLACE INTO artifact VALUES (?, ?, ?, ?)", *row)
    elif lies_elsewhere(where):
        session.note(f"The artifacts of {kind} {identity} stay where they are: {where}")
    else:
        session.note(f"The artifacts of {kind} {identity} aren't in the source's mlruns: {where}")


def named_folders(base: Base) -> tuple[ArtifactFolder, ...]:
    rows = base.run("SELECT remote, local FROM artifact ORDER BY local")
    return tuple(ArtifactFolder(*row) for row in rows)


def send_folders(
    server: Server, base: Base, root: Path, progress: Progress | None = None
) -> ArtifactSummary:
    """Sends what is new or changed in the named folders below `root`."""
    sender = _Sender(server, base)
    folders = base.run("SELECT local, kind, id FROM artifact ORDER BY local").fetchall()
    for number, (local, kind, identity) in enumerate(folders):
        if progress:
            progress(number, len(folders))
        sender.send_folder(root / local, kind, identity)
        base.run("DELETE FROM artifact WHERE local = ?", local)
    if progress and folders:
        progress(len(folders), len(folders))
    return ArtifactSummary(sender.files, sender.bytes, tuple(sender.refused))


@dataclass(frozen=True)
class _File:
    path: Path
    name: str
    """Relative to the folder, with slashes."""
    size: int
    mtime: int


class _Sender:
    def __init__(self, server: Server, base: Base) -> None:
        self.server, self.base = server, base
        self.files = self.bytes = 0
        self.refused: list[Refusal] = []

    def send_folder(self, folder: Path, kind: str, identity: str) -> None:
        made = self.base.made(kind, identity)
        if made is None or made.ours is None or made.gone or not folder.is_dir():
            return
        place = _below_artifact_store(made.artifacts)
        if place is None:
            reason = f"the server keeps artifacts where only its users can write: {made.artifacts}"
            self._refuse(kind, identity, reason)
            return
        for file in _files(folder):
            try:
                self._send(file, place, kind, identity)
            except Rejected as error:
                self._refuse(kind, identity, f"{file.name}: {error.message}")
            except NoSuchCall:
                self._refuse(kind, identity, "the server passes no artifacts on")
                return

    def _refuse(self, kind: str, identity: str, reason: str) -> None:
        self.refused.append(Refusal(kind, identity, reason))

    def _send(self, file: _File, place: str, kind: str, identity: str) -> None:
        row = self.base.one(
            "SELECT size, mtime, digest FROM file WHERE kind = ? AND id = ? AND path = ?",
            kind,
            identity,
            file.name,
        )
        if row and row[:2] == (file.size, file.mtime):
            return
        if row and row[0] == file.size and row[2] == _digest(file.path):
            self._remember(file, kind, identity, row[2])
            return
        reader = _Reader(file.path)
        self.server.put_artifact(f"{place}/{file.name}", reader.open)
        self._remember(file, kind, identity, reader.digest)
        self.files += 1
        self.bytes += file.size

    def _remember(self, file: _File, kind: str, identity: str, digest: str) -> None:
        row = (kind, identity, file.name, file.size, file.mtime, digest)
        self.base.run("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?)", *row)


class _Reader:
    """Opens a file for one try of a request after the other, and hashes what is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.blake2b(digest_size=16)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def open(self) -> BinaryIO | bytes:
        """An empty file as no bytes at all: of a stream, its end can't be told from its absence."""
        self._hash = hashlib.blake2b(digest_size=16)
        file = _Hashed(str(self._path), self._hash)
        if file.size:
            return file
        file.close()
        return b""


class _Hashed(io.FileIO):
    def __init__(self, path: str, state: hashlib.blake2b) -> None:
        super().__init__(path)
        self._state = state
        self.size = os.fstat(self.fileno()).st_size

    def __len__(self) -> int:
        return self.size

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(_BLOCK if size is None or size < 0 else size) or b""
        self._state.update(block)
        return block


def _digest(path: Path) -> str:
    state = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()


def _files(folder: Path) -> Iterator[_File]:
    """Plain files only: where a link leads isn't the run's."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                relative = path.relative_to(folder).as_posix()
                yield _File(path, relative, status.st_size, status.st_mtime_ns)


def _below_artifact_store(uri: str) -> str | None:
    """The path within the server's artifact store; None for another store."""
    url = urlsplit(uri)
    if url.scheme != "mlflow-artifacts" or url.netloc:
        return None
    return posixpath.normpath("/" + unquote(url.path)).strip("/")
