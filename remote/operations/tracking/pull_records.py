"""MLflow records of one place after the other, merged into the destination; then their artifacts."""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from remote.config import Project
from remote.errors import TargetError, TransferError
from remote.files import locked, read_json, write_json
from remote.job.messages.records import DeltaAnswer, DeltaRequest
from remote.job.messages.target import ABSENT
from remote.operations.tracking.destination import STORE, Destination, destination, digest
from remote.output import Progress, size
from remote.session import Server
from remote.tracking import merge
from remote.tracking.create_store import ensure_store
from remote.tracking.merge.summary import ArtifactFolder, MergeSummary, total
from remote.transport import rsync, rsync_args
from remote.transport.rsync import Absent
from remote.transport.rsync_args import Dialect, Remote, Tally

Say = Callable[[str], None]


@dataclass
class Records:
    """What a merge of records brought. `summary` is None where there is no MLflow store yet."""

    summary: MergeSummary | None = None
    artifacts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bytes: int = 0
    """Of the records and of the artifacts, as they were sent."""
    seconds: float = 0.0

    def add(self, summary: MergeSummary) -> None:
        self.summary = total(self.summary, summary) if self.summary else summary


@dataclass(frozen=True)
class Asked:
    """A delta that was fetched, and what the agent said beside it."""

    answer: DeltaAnswer
    file: Path
    bytes: int


@contextmanager
def merging(project: Project) -> Iterator[None]:
    """One merge at a time."""
    project.state.mkdir(exist_ok=True)
    with locked(project.state / "pull.lock"):
        yield


def pull_records(
    server: Server, *, say: Say, registry: bool = False, dry_run: bool = False
) -> Records:
    """Merge what is new in a target's stores, and fetch the artifacts of what changed."""
    server.connect()
    with merging(server.project), _folder(server.project) as folder:
        asked = ask(server, folder, registry=registry)
        return merge_all(server, asked, folder, say=say, registry=registry, dry_run=dry_run)


@contextmanager
def _folder(project: Project) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=project.state, prefix="delta-") as name:
        yield Path(name)


def ask(server: Server, folder: Path, *, store: str = "", registry: bool = False) -> Asked:
    """Have the agent write what changed in a store of the target; its own where none is named."""
    to = destination(server.project)
    request = DeltaRequest(
        key=server.key,
        known=known(to, to.base(source_name(server, store))),
        store=store,
        registry=registry,
        compress=server.ssh is not None,
    )
    file = folder / f"{digest(store)}.db"
    try:
        return _fetch(server, request, file)
    except TargetError:
        # The link to a target that others made may be all that is missing; `look` tells the rest.
        look(server)
        return _fetch(server, request, file)


def known(to: Destination, base: Path) -> dict[str, Any]:
    """What the destination has of a source."""
    base.parent.mkdir(parents=True, exist_ok=True)
    return merge.pull_state(base, store=to.location)


def _fetch(server: Server, request: DeltaRequest, file: Path) -> Asked:
    with open(file, "wb") as out:
        blob = _Unpacked(out, packed=request.compress)
        try:
            answer = server.agent.call(request, blob=blob)
        finally:
            blob.progress.wipe()
    return Asked(answer, file, blob.bytes)


class _Unpacked:
    """Takes the bytes of a delta as they come and writes it whole."""

    def __init__(self, out: IO[bytes], *, packed: bool) -> None:
        self.out, self.bytes = out, 0
        self.progress = Progress("fetching records")
        self._unpacker = zlib.decompressobj() if packed else None

    def write(self, piece: bytes) -> int:
        self.bytes += len(piece)
        self.progress.amount(size(self.bytes))
        return self.out.write(self._unpacker.decompress(piece) if self._unpacker else piece)


def look(server: Server) -> None:
    """Have the agent say what is wrong with a target that gives no answer."""
    if server.prepare(look=True).state == ABSENT:
        raise TransferError(f"{server.target} does not exist yet.", "Push first: make sync-push")


def source_name(server: Server, store: str = "") -> str:
    """What the files about a store of the target are called."""
    return f"{server.target.key}.{digest(store)}" if store else server.target.key


def merge_all(
    server: Server,
    asked: Asked,
    folder: Path,
    *,
    say: Say,
    registry: bool = False,
    dry_run: bool = False,
) -> Records:
    """Merge the delta of the target's own store, and those of the others that it has."""
    start = time.monotonic()
    found = Records(bytes=asked.bytes)
    if not asked.answer.empty:
        _bring(server, asked, "", found, say=say, dry_run=dry_run)
    marks = server.project.state / "targets" / f"{server.target.key}.stores.json"
    before = read_json(marks) or {}
    after = {}
    for name, mark in asked.answer.others.items():
        if mark is None or before.get(name) != mark:
            other = ask(server, folder, store=name, registry=registry)
            found.bytes += other.bytes
            _bring(server, other, name, found, say=say, dry_run=dry_run)
        after[name] = mark
    if after != before and not dry_run:
        write_json(marks, after)
    found.seconds = time.monotonic() - start
    return found


def _bring(
    server: Server, asked: Asked, store: str, found: Records, *, say: Say, dry_run: bool
) -> None:
    to = destination(server.project)
    source = f"{server.target}/{store}" if store else str(server.target)
    base = to.base(source_name(server, store))
    bring(to, asked.file, base, source, server.remote, found, say=say, dry_run=dry_run)


def bring(
    to: Destination,
    delta: Path,
    base: Path,
    source: str,
    remote: Remote,
    found: Records,
    *,
    say: Say,
    dry_run: bool = False,
) -> None:
    """Merge one delta, then fetch the artifacts that it names from `remote`."""
    store, base, dry_run = _store(to, base, delta.parent, dry_run, say)
    progress = Progress("merging records")
    try:
        summary = merge.merge(
            delta,
            store=store,
            artifact_root=to.artifacts,
            base=base,
            source=source,
            progress=progress.of,
            dry_run=dry_run,
        )
    finally:
        progress.wipe()
    found.add(summary)
    if store == to.location and not dry_run:
        fetched = fetch_artifacts(to.project.root, remote, summary.artifacts)
        merge.mark_fetched(base, summary.artifacts)
        found.artifacts += fetched.sent
        found.bytes += fetched.bytes


def _store(
    to: Destination, base: Path, folder: Path, dry_run: bool, say: Say
) -> tuple[Path, Path, bool]:
    """The store to merge into, with its base; one that has to be made first is made.

    A dry run that finds none gets one that is thrown away with `folder`.
    """
    if to.location.exists():
        return to.location, base, dry_run
    say("making an MLflow store (once; MLflow takes some seconds for it)")
    made, base = (folder / STORE, folder / base.name) if dry_run else (to.location, base)
    ensure_store(made, to.artifacts)
    return made, base, False


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
