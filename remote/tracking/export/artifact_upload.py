"""Artifacts of runs and logged models: files that are new, or changed here and not on the server.

A field of the record is `file:<name>`, its value size and time of the last change. The server tells
sizes only, so one that it has in a size that was never sent there counts as somebody else's.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from remote.tracking.export.export_session import Session
from remote.tracking.export.field_changes import Written
from remote.tracking.export.pending import LocalFile
from remote.tracking.export.server_client import reason, refuses_content
from remote.tracking.merge.artifact_paths import lies_elsewhere

_FILE = "file:"
_MISREAD = re.compile(r"[#?]|%[0-9A-Fa-f]{2}")
"""MLflow's client puts names into URLs as they are: these would arrive under other names."""


def send_files(
    session: Session, kind: str, identity: str, location: str, files: Sequence[LocalFile]
) -> bool:
    """Send what is new to `location`, which the server names; False where it can't be written to."""
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
        _send(session, kind, identity, _repository(session, location), changed)
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
    ours = [file for file in files if _may_write(file, sizes, written.get(_FILE + file.name))]
    session.record.announce(kind, identity, {_FILE + file.name: file.version for file in ours})
    for file in files:
        if file in ours:
            _send_file(session, f"{file.name} of {kind} {identity}", repository, file)
        elif sizes.get(file.name, file.size) != file.size:
            session.summary.note(f"kept the server's: {file.name} of {kind} {identity}")
        session.record.settle(kind, identity, {_FILE + file.name: file.version})


def _send_file(session: Session, what: str, repository: Any, file: LocalFile) -> None:
    import requests
    from mlflow.exceptions import MlflowException

    if _MISREAD.search(file.name) and repository.artifact_uri.startswith(
        ("mlflow-artifacts", "http")
    ):
        session.summary.note(f"{what} is left out: MLflow's client can't send such a name")
        return
    try:
        repository.log_artifact(str(file.path), file.name.rpartition("/")[0] or None)
        session.summary.files += 1
        session.summary.bytes += file.size
    except (MlflowException, requests.RequestException) as error:
        if not refuses_content(error):
            raise
        session.summary.note(f"{what} is left out: {reason(error)}")


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
    found: Dict[str, int] = {}
    folders: List[Optional[str]] = [None]
    while folders:
        for each in repository.list_artifacts(folders.pop()):
            if each.is_dir:
                folders.append(each.path)
            else:
                found[each.path] = int(each.file_size or 0)
    return found


def _repository(session: Session, location: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(location, tracking_uri=session.client.tracking_uri)


def _is_reachable(location: str, server: str) -> bool:
    """Never a plain path: MLflow's client would write to it on this machine."""
    url = urlsplit(location)
    if url.scheme == "mlflow-artifacts":
        return url.netloc in ("", urlsplit(server).netloc)
    return lies_elsewhere(location)
