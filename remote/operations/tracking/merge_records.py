"""Merge deltas into the project's destination, those of stores on this machine among them."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from remote.config import Project
from remote.errors import StoreError
from remote.files import locked, remove_left
from remote.operations.tracking.artifact_limit import Choice, LeftFiles, note
from remote.operations.tracking.artifact_transfer import ArtifactFetch, came_whole
from remote.operations.tracking.destination import (
    ARTIFACTS,
    STORE,
    Destination,
    destination,
    digest,
)
from remote.operations.transfers.pull_backups import PulledFiles, new_backup
from remote.output import Progress, say
from remote.target import Target
from remote.tracking import merge, migration, schema
from remote.tracking.empty_store import ensure_store
from remote.tracking.merge import ArtifactFolder, MergeSummary, total
from remote.tracking.sources import Source, source_of
from remote.tracking.store import columns_of, connect_read_only, usable
from remote.tracking.store_address import StoreAddress
from remote.transport.rsync_args import Remote
from remote.transport.rsync_problems import Problem
from remote.transport.rsync_tally import Tally

_ROOT = re.compile(r"(file:(?://)?)?(/.*)/(?:mlruns|mlartifacts)/")


@dataclass
class Records:
    """What a merge of records brought. `summary` is None where there is no MLflow store yet."""

    summary: MergeSummary | None = None
    artifacts: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    """Stores outside of the target that its jobs logged to, named once."""
    unreadable: list[str] = field(default_factory=list)
    """What is wrong with stores of the target that are there and could not be read."""
    withholding: list[str] = field(default_factory=list)
    """Stores of the target of which something was refused."""
    moved: str = ""
    """What became of the records of a target that was moved, in words."""
    bytes: int = 0
    """Of the records and of the artifacts, as they were sent."""
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)
    """The artifacts that could not come; the next merge tries them again."""
    cleared: list[str] = field(default_factory=list)
    """What stood in the way of artifacts here, and is in the `backup` now."""
    replaced: list[str] = field(default_factory=list)
    """The artifacts that were edited here; what they were is in the `backup`."""
    backup: str = field(default_factory=new_backup)
    left: list[str] = field(default_factory=list)
    """Links of artifacts that lead out of them, and stay there."""
    acting: list[str] = field(default_factory=list)
    """Artifacts that stay there, since they act by being there."""
    on_server: list[LeftFiles] = field(default_factory=list)
    """Artifacts that stay there until they are asked for."""

    @property
    def is_news(self) -> bool:
        """Whether something came."""
        summary = self.summary or MergeSummary()
        counts = [value for value in vars(summary).values() if isinstance(value, int)]
        return bool(any(counts) or summary.conflicts or self.artifacts)

    def add(self, fetched: Tally) -> None:
        """What a transfer of artifacts brought."""
        self.artifacts += fetched.sent
        self.bytes += fetched.bytes
        self.problems += fetched.problems
        self.cleared += fetched.cleared
        self.replaced += fetched.replaced
        self.left += fetched.left
        self.acting += fetched.acting


@contextmanager
def merging(project: Project) -> Iterator[Path]:
    """One merge at a time, with a temporary folder for its deltas and for what rsync brings."""
    (project.state / "targets").mkdir(parents=True, exist_ok=True)
    with locked(project.state / "pull.lock", "another pull"):
        remove_left(project.state, "delta-*")
        with tempfile.TemporaryDirectory(dir=project.state, prefix="delta-") as name:
            yield Path(name)


def merge_store(
    project: Project,
    text: str,
    *,
    artifacts: str = "",
    registry: bool = False,
    dry_run: bool = False,
    theirs: bool = False,
) -> Records:
    """Merge the store that `text` names, and copy the artifacts of what changed.

    Raises StoreError where there is no store, or it is the one that is merged into.
    """
    start = time.monotonic()
    to, records = destination(project), Records()
    if artifacts and not Path(artifacts).is_dir():
        raise StoreError(
            f"There is no folder {artifacts}.", "Name the one that the artifacts lie in."
        )
    with merging(project) as folder:
        for path, source in find(text).items():
            if to.location.exists() and path.samefile(to.location):
                raise StoreError(
                    f"{path} is the store that records are merged into.",
                    "Name the one that they come from.",
                )
            name = f"store-{digest(str(path))}"
            file = folder / f"{name}.db"
            root = str(Path(artifacts).resolve() if artifacts else path.parent)
            roots = [root, *(_former_roots(path) if path.is_file() else ())]
            known = merge.pull_state(to.base(name), store=to.location)
            source.write_delta(path, file, known, roots=roots, registry=registry)
            remote = Remote(Target("", "", root), None, name)
            merge_delta(
                file,
                to,
                records,
                name=name,
                source=str(path),
                remote=remote,
                dry_run=dry_run,
                theirs=theirs,
            )
    records.seconds = time.monotonic() - start
    return records


def find(text: str) -> dict[Path, Source]:
    """The stores that a path or an address names, with their kinds; raises StoreError."""
    address = StoreAddress.parse(text, folder=Path.cwd())
    path = address.path
    if path is None:
        raise StoreError(
            f"Only a store on this machine's disk can be merged, not {address}.",
            "Name a .db file, or a folder with a store; a server's store is a target's:"
            " inv mlflow-pull",
        )
    if not path.exists():
        raise StoreError(f"There is no {path}.", "Name a .db file, or a folder with a store.")
    inner = [path / STORE, path / ARTIFACTS] if path.is_dir() else []
    kinds = {candidate.resolve(): source_of(candidate) for candidate in (path, *inner)}
    stores = {store: kind for store, kind in kinds.items() if kind is not None}
    if not stores:
        raise StoreError(
            f"{path} isn't an MLflow store, and holds none.",
            "It takes a SQLite file that MLflow made, or a folder with mlflow.db or mlruns in it.",
        )
    return stores


def _former_roots(store: Path) -> set[str]:
    """The folders that artifacts of a database lie below, as its records say.

    One that was copied or moved still names the folder where its records were made.
    """
    roots = set()
    with usable(store), closing(connect_read_only(store)) as database:
        for table in schema.TABLES:
            if table.path not in columns_of(database, "main", table.name):
                continue
            keys = ", ".join(f"'{key}'" for key in table.path_keys)
            rows = f'SELECT "{table.path}" FROM "{table.name}"'
            for (uri,) in database.execute(f"{rows} WHERE key IN ({keys})" if keys else rows):
                match = _ROOT.match(str(uri))
                roots |= {unquote(match[2]) if match[1] else match[2]} if match else set()
    return roots


def merge_delta(
    delta: Path,
    to: Destination,
    records: Records,
    *,
    name: str,
    source: str,
    remote: Remote,
    dry_run: bool,
    theirs: bool = False,
    choose: Callable[[Sequence[ArtifactFolder]], Choice] = lambda folders: Choice(),
) -> MergeSummary:
    """Merge one delta, then fetch the artifacts that it names from `remote`, as far as `choose` says.

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
    obstacle = migration.fit(delta, store, env=os.environ)
    if obstacle:
        say(f"{source}: {obstacle}.")
    with Progress("merging records") as progress:
        summary = merge.merge(
            delta,
            store=store,
            artifact_root=to.artifacts,
            base=base,
            source=source,
            progress=progress.of,
            dry_run=dry_run and store == to.location,
            theirs=theirs,
        )
    records.summary = total(records.summary, summary) if records.summary else summary
    if dry_run:
        return summary
    root = to.project.root
    choice = choose(summary.artifacts)
    fetch = ArtifactFetch(root, remote, delta.parent, records.backup)
    fetched = fetch.bring(summary.artifacts, choice.chosen)
    fetched.problems += choice.problems
    fetched.drop_stayed()
    pulled = PulledFiles(to.project.state / "targets" / f"{name}.artifacts", root)
    pulled.drop_unchanged(fetched, root / records.backup)
    pulled.add(fetched.sent)
    came = list(came_whole(summary.artifacts, fetched.problems))
    merge.mark_fetched(base, (folder for folder in came if folder.remote not in choice.left))
    records.on_server += note(store, came, choice.left, source)
    records.add(fetched)
    return summary
