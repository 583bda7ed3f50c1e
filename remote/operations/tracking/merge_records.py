"""Merge deltas into the project's destination, one after the other, and fetch their artifacts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote.config import Project
from remote.files import locked
from remote.operations.tracking.destination import STORE, Destination
from remote.output import Progress
from remote.tracking import merge
from remote.tracking.create_store import ensure_store
from remote.tracking.merge import ArtifactFolder, MergeSummary, total
from remote.transport import rsync, rsync_args
from remote.transport.rsync import Absent
from remote.transport.rsync_args import Dialect, Remote, Tally

Say = Callable[[str], None]


@dataclass
class Records:
    """What a merge of records brought. `summary` is None where there is no MLflow store yet."""

    summary: MergeSummary | None = None
    artifacts: list[str] = field(default_factory=list)
    bytes: int = 0
    """Of the records and of the artifacts, as they were sent."""
    seconds: float = 0.0

    def add(self, summary: MergeSummary) -> None:
        self.summary = total(self.summary, summary) if self.summary else summary


@contextmanager
def merging(project: Project) -> Iterator[None]:
    """One merge at a time."""
    project.state.mkdir(exist_ok=True)
    with locked(project.state / "pull.lock"):
        yield


@contextmanager
def merge_folder(project: Project) -> Iterator[Path]:
    """One merge at a time, with a temporary folder for its deltas."""
    with merging(project), tempfile.TemporaryDirectory(dir=project.state, prefix="delta-") as name:
        yield Path(name)


def pull_state(to: Destination, base: Path) -> dict[str, Any]:
    """What the destination has of a source, for the next delta to be written."""
    base.parent.mkdir(parents=True, exist_ok=True)
    return merge.pull_state(base, store=to.location)


@dataclass
class RecordsMerge:
    """One merge into the destination; `records` grows with each delta."""

    to: Destination
    say: Say
    dry_run: bool = False
    records: Records = field(default_factory=Records)

    def add(self, delta: Path, *, base: Path, source: str, remote: Remote) -> None:
        """Merge one delta, then fetch the artifacts that it names from `remote`."""
        if not self.to.location.exists():
            if self.dry_run:
                self._merge_into_none(delta, base, source)
                return
            self._make_store(self.to.location)
        summary = self._merge(delta, self.to.location, base, source, self.dry_run)
        if self.dry_run:
            return
        fetched = fetch_artifacts(self.to.project.root, remote, summary.artifacts)
        merge.mark_fetched(base, summary.artifacts)
        self.records.artifacts += fetched.sent
        self.records.bytes += fetched.bytes

    def _merge_into_none(self, delta: Path, base: Path, source: str) -> None:
        """A dry run that finds no store has one that is thrown away with the delta's folder."""
        store = delta.parent / STORE
        self._make_store(store)
        self._merge(delta, store, delta.parent / base.name, source, False)

    def _make_store(self, store: Path) -> None:
        if not store.exists():
            self.say("making an MLflow store (once; MLflow takes some seconds for it)")
            ensure_store(store, self.to.artifacts)

    def _merge(
        self, delta: Path, store: Path, base: Path, source: str, dry_run: bool
    ) -> MergeSummary:
        progress = Progress("merging records")
        try:
            summary = merge.merge(
                delta,
                store=store,
                artifact_root=self.to.artifacts,
                base=base,
                source=source,
                progress=progress.of,
                dry_run=dry_run,
            )
        finally:
            progress.wipe()
        self.records.add(summary)
        return summary


def fetch_artifacts(root: Path, remote: Remote, folders: Iterable[ArtifactFolder]) -> Tally:
    """Bring the artifact folders that a merge named below `root`, one rsync for an experiment."""
    groups = sorted(_grouped(folders).items())
    dialect = rsync.dialect() if groups else None
    result = Tally()
    for (source, target), names in groups:
        (root / target).mkdir(parents=True, exist_ok=True)
        with filter_file(names) as wanted:
            argv = rsync_args.artifacts_argv(
                remote, source=source, destination=target, wanted=wanted
            )
            assert dialect
            fetched = _run(argv, remote, dialect, root)
        result.sent += [f"{target}/{name}" for name in fetched.sent]
        result.bytes += fetched.bytes
    return result


@contextmanager
def filter_file(names: Iterable[str]) -> Iterator[Path]:
    """A file that names artifact folders to rsync."""
    with tempfile.NamedTemporaryFile("w", suffix=".filter") as file:
        file.write(rsync_args.artifact_filters(names))
        file.flush()
        yield Path(file.name)


def _run(argv: list[str], remote: Remote, dialect: Dialect, root: Path) -> Tally:
    try:
        return rsync.run(argv, remote, cwd=root, title="pulling artifacts", dialect=dialect)
    except Absent:
        # An experiment whose runs logged no artifact has no folder.
        return Tally()


def _grouped(folders: Iterable[ArtifactFolder]) -> dict[tuple[str, str], list[str]]:
    """(folder there, here) -> what to bring below it: runs of an experiment travel together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for folder in folders:
        source, target = folder.remote.split("/", 2), folder.local.split("/", 2)
        if source[2:] == target[2:] and source[2:]:
            key = ("/".join(source[:2]), "/".join(target[:2]))
            groups.setdefault(key, []).append(source[2])
        else:
            groups[folder.remote, folder.local] = ["**"]
    return groups
