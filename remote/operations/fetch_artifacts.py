"""Bring what a pull has left of a run's artifacts, and prove by its content that it came."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from remote.config import Project
from remote.errors import JobError, StoreError
from remote.files import content_sum, read_json
from remote.job.messages.records import ArtifactFolder, ArtifactsRequest
from remote.operations.fetch import Fetched, selected
from remote.operations.tracking.artifact_limit import files_of, is_missing, named, note
from remote.operations.tracking.artifact_transfer import ArtifactFetch, came_whole
from remote.operations.tracking.destination import ARTIFACTS, destination
from remote.operations.tracking.merge_records import merging
from remote.operations.tracking.pull_records import source_name
from remote.operations.transfers.pull_backups import PulledFiles, new_backup
from remote.session import TargetSession
from remote.tracking import left_artifacts, merge
from remote.tracking.store import is_present
from remote.transport.rsync_problems import CHANGED, Problem
from remote.transport.rsync_tally import Tally

_State = tuple[int, int, int] | None

#: Digits of a run's id that no part of a job's id is taken for.
RUN = re.compile("[0-9a-f]{8,32}")


@dataclass
class _Arrived:
    """What has come so far, in bytes by path below the project; what the transfers said; and how much
    stays there."""

    files: dict[str, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    backup: str = field(default_factory=new_backup)
    left: int = 0

    def result(self) -> Fetched:
        tally = self.tally
        ends = (tally.problems, tally.replaced, self.backup, tally.left, tally.acting)
        return Fetched(ARTIFACTS, self.files, *ends, on_server=self.left)


def run_here(project: Project, word: str) -> str:
    """The run here whose id begins so; empty without one, or with several."""
    store = destination(project).location
    if not RUN.fullmatch(word) or not is_present(store):
        return ""
    runs = left_artifacts.runs(store, word)
    return runs[0] if len(runs) == 1 else ""


def fetch_artifacts(server: TargetSession, run: str, wanted: Sequence[str]) -> Fetched:
    """Bring what was left of a run, or these files, folders and patterns of it; raises StoreError
    and JobError.

    What is verified, and completes its folder, is on no list of what was left any more.
    """
    to, fetched, found, gone = destination(server.project), _Arrived(), False, False
    with merging(server.project) as scratch:
        for name, source in _sources(server):
            base = to.base(name)
            folders = _of_run(to.location, merge.unfetched(base), run)
            if folders:
                found = True
                part = _Part(server, folders, scratch, fetched)
                left = part.bring(wanted)
                if left is None:
                    gone = True
                    continue
                pulled = PulledFiles(to.project.state / "targets" / f"{name}.artifacts", part.root)
                pulled.add(fetched.files)
                came = came_whole(folders, fetched.tally.problems)
                merge.mark_fetched(base, [each for each in came if each.remote not in left])
                note(to.location, folders, left, source)
    text = left_artifacts.tagged(to.location).get(run, "")
    if gone and not fetched.files:
        raise StoreError(
            f"{server.target} has none of the artifacts of run {run} any more.",
            f"Left was {text}." if text else "This machine has none either.",
        )
    if not found:
        raise StoreError(
            f"Nothing of run {run} was left on {server.target}.",
            f"Left was {text}." if text else "This machine has all of it.",
        )
    return fetched.result()


def _sources(server: TargetSession) -> Iterator[tuple[str, str]]:
    """The target's own store and those beside it: what files about each are called, and its name."""
    stores = read_json(server.file.with_suffix(".stores.json")) or {}
    yield source_name(server), server.source
    for store in stores:
        yield source_name(server, store), f"{server.source}/{store}"


def _of_run(store: Path, folders: Sequence[ArtifactFolder], run: str) -> list[ArtifactFolder]:
    owners = left_artifacts.owners(store, (folder.local for folder in folders))
    return [folder for folder in folders if owners.get(folder.local) == run]


@dataclass(frozen=True)
class _Part:
    """The folders of one run, out of one store."""

    server: TargetSession
    folders: Sequence[ArtifactFolder]
    scratch: Path
    fetched: _Arrived

    @property
    def root(self) -> Path:
        return self.server.project.root

    def bring(self, wanted: Sequence[str]) -> dict[str, dict[str, int]] | None:
        """Bring what is wanted; what stays there comes back, as `Choice` has it, or None where nothing is
        there, and nothing here."""
        files, problems = files_of(self.server, self.folders)
        tops = [self.root / folder.local for folder in self.folders]
        if not problems and not any(files.values()) and not any(map(_holds_files, tops)):
            return None
        self.fetched.tally.problems += problems
        left = {folder.remote: self._missing(folder, files) for folder in self.folders}
        sizes = {
            path: size for each in self.folders for path, size in named(each, left[each.remote])
        }
        try:
            taken = selected(sizes, wanted)
        except JobError as error:
            raise JobError(error.message, problems[0].text if problems else error.hint) from None
        chosen = {
            each.remote: [name for name in left[each.remote] if _path(each, name) in taken]
            for each in self.folders
        }
        before = {
            file: _state(file)
            for each in self.folders
            for file in (self.root / each.local / name for name in chosen[each.remote])
        }
        fetch = ArtifactFetch(self.root, self.server.remote, self.scratch, self.fetched.backup)
        self.fetched.tally.add(fetch.bring(self.folders, chosen), ".")
        for folder in self.folders:
            for name in self._verified(folder, chosen[folder.remote], before):
                size = left[folder.remote].pop(name)
                self.fetched.files[f"{folder.local}/{name}"] = size
        self.fetched.left += sum(map(len, left.values()))
        return {folder: names for folder, names in left.items() if names}

    def _missing(
        self, folder: ArtifactFolder, files: Mapping[str, Mapping[str, int]]
    ) -> dict[str, int]:
        top, names = self.root / folder.local, files[folder.remote]
        return {name: size for name, size in names.items() if is_missing(top, name, size)}

    def _verified(
        self, folder: ArtifactFolder, names: Sequence[str], before: Mapping[Path, _State]
    ) -> Iterator[str]:
        """Those that are here as they are there, by their sums; `before` is what stood in their place."""
        paths = {f"{folder.remote}/{name}": name for name in names}
        if not paths:
            return
        request = ArtifactsRequest(key=self.server.key, paths=tuple(paths), sums=True)
        sums = self.server.agent.call(request).sums
        for path, name in paths.items():
            file = self.root / folder.local / name
            is_there = file.is_symlink() or file.is_file()
            if is_there and content_sum(file) == sums.get(path):
                yield name
                continue
            # What came must not be taken for the server's; what didn't come is the user's own.
            if is_there and _state(file) != before[file]:
                file.unlink()
            if not self.fetched.tally.problems:
                problem = Problem(f"{folder.local}/{name}", "it differs from the server's", CHANGED)
                self.fetched.tally.problems.append(problem)


def _holds_files(folder: Path) -> bool:
    return any(not path.is_dir() for path in folder.rglob("*"))


def _state(file: Path) -> _State:
    """Changes when a file or link is replaced; None where there is none."""
    with suppress(OSError):
        status = file.lstat()
        return status.st_ino, status.st_size, status.st_mtime_ns
    return None


def _path(folder: ArtifactFolder, name: str) -> str:
    return next(named(folder, {name: 0}))[0]
