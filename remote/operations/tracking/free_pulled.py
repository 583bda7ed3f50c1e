"""Make room on a server: what lies there and here alike, artifacts and results, goes there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from remote.files import sha256
from remote.job import outputs
from remote.job.messages.old_jobs import FreeAnswer, FreeRequest
from remote.operations.tracking.destination import destination
from remote.operations.transfers.project_outputs import declared_outputs
from remote.session import TargetSession
from remote.tracking.check.stored_paths import paths_of
from remote.tracking.schema import MODEL, RUN
from remote.tracking.store import is_present

#: What later jobs read, though earlier ones wrote it.
KEPT = "data/processed"


@dataclass(frozen=True)
class Copies:
    """Files of a server that are here too: the sum and the bytes of each by its path there."""

    server: TargetSession
    request: FreeRequest
    sums: Mapping[str, str]
    files: Mapping[str, int]

    @property
    def answer(self) -> FreeAnswer:
        """What the server would answer if all of them went."""
        return FreeAnswer(files=self.files, bytes=sum(self.files.values()))

    def remove(self) -> FreeAnswer:
        """Have them go there, as far as they still are the same; what went comes back."""
        if not self.sums:
            return FreeAnswer(files={})
        return self.server.agent.call(self.request.replace(sums=self.sums))


def find_copies(server: TargetSession, older: float, now: float) -> Copies:
    """Those among the server's files of so many seconds that may go there."""
    rows = outputs.table(declared_outputs(server.project.root))
    folders = (row.path for row in rows if row.pulled and not row.is_file and row.path != KEPT)
    request = FreeRequest(key=server.key, older=older, now=now, outputs=tuple(folders))
    sums, sizes = dict[str, str](), dict[str, int]()
    places = dict(_artifact_folders(server))
    answer = server.agent.call(request)
    for path, size in answer.files.items():
        is_result = outputs.below(path, request.outputs)
        file = server.project.root / path if is_result else _artifact(places, path)
        with suppress(OSError):
            # Links of both may lead to one folder: then it is no copy.
            same = file and file.stat().st_ctime_ns == answer.changed.get(path)
            if file and not same and not file.is_symlink() and file.stat().st_size == size:
                sums[path], sizes[path] = sha256(file), size
    return Copies(server, request, sums, sizes)


def _artifact(places: dict[str, str], path: str) -> Path | None:
    """Where an artifact of the server is here: with its run or model."""
    match = re.fullmatch(r"(?:mlruns|mlartifacts)/.*?([^/]+)/artifacts/(.+)", path, re.DOTALL)
    return Path(places[match[1]]) / match[2] if match and match[1] in places else None


def _artifact_folders(server: TargetSession) -> Iterator[tuple[str, str]]:
    """Where each run and model has its artifacts here, by its id."""
    store = destination(server.project).location
    if is_present(store):
        for path in paths_of(store):
            if path.kind in (RUN, MODEL):
                yield path.id, path.place
