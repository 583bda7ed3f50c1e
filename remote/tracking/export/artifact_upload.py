"""Artifacts of runs and logged models: files that are new, or changed here and not on the server.

A field of the record is `file:<name>`, its value size and time of the last change. The server tells
sizes only, so one that it has in a size that was never sent there counts as somebody else's.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from remote.tracking.export.export_record import Written
from remote.tracking.export.export_session import Session
from remote.tracking.export.pending import LocalFile
from remote.tracking.export.server_client import reason
from remote.tracking.merge.artifact_paths import lies_elsewhere

_FILE = "file:"
_MISREAD = re.compile(r"[#?]|%[0-9A-Fa-f]{2}")
"""MLflow's client puts names into URLs as they are: these would arrive under other names."""


def send_files(
    session: Session, kind: str, identity: str, location: str, files: Sequence[LocalFile]
) -> bool:
    """Send what is new to `location`, which the server names; False where it can't be written to."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    written = session.record.written(kind, identity)
    changed = [file for file in files if not _is_sent(file, written.get(_FILE + file.name))]
    if not changed:
        return True
    what = f"The artifacts of {kind} {identity} aren't sent"
    if not _is_reachable(location, session.client.tracking_uri):
        session.summary.note(
            f"{what}: the server keeps them at a path of its own"
            " (mlflow server --artifacts-destination DIR serves them)."
        )
        return False
    try:
        repository = get_artifact_repository(location, tracking_uri=session.client.tracking_uri)
        _send(session, kind, identity, repository, changed)
    except Exception as error:
        # Each cloud's driver has exceptions of its own, and may not be installed.
        if not lies_elsewhere(location):
            raise
        session.summary.note(f"{what}: {reason(error)}")
        return False
    return True


def _send(
    session: Session, kind: str, identity: str, repository: Any, files: Sequence[LocalFile]
) -> None:
    sizes, written = _sizes(repository), session.record.written(kind, identity)
    writable = [file for file in files if _may_write(file, sizes, written.get(_FILE + file.name))]
    session.record.announce(kind, identity, {_FILE + file.name: file.version for file in writable})
    for file in files:
        if file in writable:
            _send_file(session, f"{file.name} of {kind} {identity}", repository, file)
        elif sizes.get(file.name, file.size) != file.size:
            session.summary.note(f"kept the server's: {file.name} of {kind} {identity}")
        session.record.settle(kind, identity, {_FILE + file.name: file.version})


def _send_file(session: Session, what: str, repository: Any, file: LocalFile) -> None:
    through_client = repository.artifact_uri.startswith(("mlflow-artifacts", "http"))
    if _MISREAD.search(file.name) and through_client:
        session.summary.note(f"{what} is left out: MLflow's client can't send such a name")
        return
    with session.refusable(what):
        repository.log_artifact(str(file.path), file.name.rpartition("/")[0] or None)
        session.summary.files += 1
        session.summary.bytes += file.size


def _is_sent(file: LocalFile, written: Optional[Written]) -> bool:
    return written is not None and written.settled and written.values == {file.version}


def _may_write(file: LocalFile, sizes: Mapping[str, int], written: Optional[Written]) -> bool:
    """Where the server has none, or one of a size that we sent; without a record, it keeps its own."""
    if file.name not in sizes:
        return written is None or not written.settled
    sent = {int(version.split()[0]) for version in written.values} if written else set()
    return sizes[file.name] in sent


def _sizes(repository: Any) -> Dict[str, int]:
    """Of all files that the server has for one run or model."""
    sizes: Dict[str, int] = {}
    folders: List[Optional[str]] = [None]
    while folders:
        for entry in repository.list_artifacts(folders.pop()):
            if entry.is_dir:
                folders.append(entry.path)
            else:
                sizes[entry.path] = int(entry.file_size or 0)
    return sizes


def _is_reachable(location: str, server: str) -> bool:
    """Never a plain path: MLflow's client would write to it on this machine."""
    url = urlsplit(location)
    if url.scheme == "mlflow-artifacts":
        return url.netloc in ("", urlsplit(server).netloc)
    return lies_elsewhere(location)
