"""Fetch the artifacts that a merge named; which of them come is decided here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from remote.tracking.merge.summary import ArtifactFolder
from remote.transport import rsync, rsync_args
from remote.transport.rsync import Absent
from remote.transport.rsync_args import Dialect, Remote, Tally


def fetch_artifacts(root: Path, remote: Remote, folders: Iterable[ArtifactFolder]) -> Tally:
    """Bring the artifact folders that a merge named below `root`, one rsync for an experiment."""
    groups = sorted(_grouped(folders).items())
    dialect = rsync.dialect() if groups else None
    result = Tally()
    for (source, target), names in groups:
        (root / target).mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", suffix=".filter") as wanted:
            wanted.write(rsync_args.artifact_filters(names))
            wanted.flush()
            argv = rsync_args.artifacts_argv(
                remote, source=source, destination=target, wanted=Path(wanted.name)
            )
            assert dialect
            found = _run(argv, remote, dialect, root)
        result.sent += [f"{target}/{name}" for name in found.sent]
        result.bytes += found.bytes
    return result


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
