"""Merge deltas into the project's destination, one after the other, and fetch their artifacts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from remote.config import Project
from remote.files import locked
from remote.operations.tracking.destination import STORE, Destination
from remote.output import Progress, say
from remote.tracking import merge
from remote.tracking.create_store import ensure_store
from remote.tracking.merge import ArtifactFolder, MergeSummary, total
from remote.transport import rsync, rsync_args
from remote.transport.rsync_args import Remote, Tally


@dataclass
class Records:
    """What a merge of records brought. `summary` is None where there is no MLflow store yet."""

    summary: MergeSummary | None = None
    artifacts: list[str] = field(default_factory=list)
    bytes: int = 0
    """Of the records and of the artifacts, as they were sent."""
    seconds: float = 0.0


@contextmanager
def merging(project: Project) -> Iterator[Path]:
    """One merge at a time, with a temporary folder for its deltas."""
    (project.state / "targets").mkdir(parents=True, exist_ok=True)
    with (
        locked(project.state / "pull.lock"),
        tempfile.TemporaryDirectory(dir=project.state, prefix="delta-") as name,
    ):
        yield Path(name)


def merge_delta(
    delta: Path,
    to: Destination,
    records: Records,
    *,
    name: str,
    source: str,
    remote: Remote,
    dry_run: bool,
) -> None:
    """Merge one delta, then fetch the artifacts that it names from `remote`.

    What came is added to `records`. `name` is what files about the source are called, `source` what
    the user calls it.
    """
    store, base = to.location, to.base(name)
    if dry_run and not store.exists():
        # Both are thrown away with the delta's folder.
        store, base = delta.parent / STORE, delta.parent / base.name
    if not store.exists():
        say("making an MLflow store (once; MLflow takes some seconds for it)")
        ensure_store(store, to.artifacts)
    progress = Progress("merging records")
    try:
        summary = merge.merge(
            delta,
            store=store,
            artifact_root=to.artifacts,
            base=base,
            source=source,
            progress=progress.of,
            dry_run=dry_run and store == to.location,
        )
    finally:
        progress.wipe()
    records.summary = total(records.summary, summary) if records.summary else summary
    if dry_run:
        return
    fetched = fetch_artifacts(to.project.root, remote, summary.artifacts)
    merge.mark_fetched(base, summary.artifacts)
    records.artifacts += fetched.sent
    records.bytes += fetched.bytes


def fetch_artifacts(root: Path, remote: Remote, folders: Iterable[ArtifactFolder]) -> Tally:
    """Bring the artifact folders that a merge named below `root`, one rsync for an experiment."""
    groups = sorted(_grouped(folders).items())
    result = Tally()
    if not groups:
        return result
    dialect = rsync.dialect()
    for (source, target), names in groups:
        (root / target).mkdir(parents=True, exist_ok=True)
        with filter_file(names) as wanted:
            argv = rsync_args.artifacts_argv(
                remote, source=source, destination=target, wanted=wanted
            )
            try:
                title = "pulling artifacts"
                fetched = rsync.run(argv, remote, cwd=root, title=title, dialect=dialect)
            except rsync.Absent:
                # An experiment whose runs logged no artifact has no folder.
                continue
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
