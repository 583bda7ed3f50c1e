"""Pull: results back by rsync, records back by the merge, then the artifacts it names."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Iterable, Mapping, Optional

from remote import merge, rsync, transfer
from remote.errors import TargetError, TransferError
from remote.files import locked, write_json
from remote.job import STATE
from remote.merge.summary import ArtifactFolder, MergeSummary
from remote.rsync import Dialect, Tally
from remote.server import Server
from remote.transfer import Absent, Unready


@dataclass(frozen=True)
class Pulled:
    """What a pull brought. `records` is None where the target has no MLflow store yet."""

    files: tuple[str, ...]
    replaced: tuple[str, ...]
    backup: str
    records: Optional[MergeSummary]
    artifacts: tuple[str, ...]
    bytes: int
    seconds: float


def pull(server: Server, *, say: Callable[[str], None], dry_run: bool = False) -> Pulled:
    """Bring back what jobs wrote; twice changes nothing. `say` gets remarks on long steps."""
    start = time.monotonic()
    known = transfer.dialect()
    server.connect()
    server.project.state.mkdir(exist_ok=True)
    with (
        locked(server.project.state / "pull.lock"),
        tempfile.NamedTemporaryFile(
            dir=server.project.state, prefix="delta-", suffix=".db"
        ) as delta,
    ):
        # First of all, so that jobs which the agent sees to now have their results brought too.
        answer = None if dry_run else _ask(server, delta)
        files, backup = _results(server, known, dry_run=dry_run)
        records = _records(server, answer, Path(delta.name), say) if answer else None
        found = Tally()
        if records:
            found = _artifacts(server, records.artifacts, known)
            merge.settle(server.base, records.artifacts)
        if answer:
            write_json(server.pulled, answer["ended"])
    return Pulled(
        files=tuple(files.sent),
        replaced=tuple(files.replaced),
        backup=backup if files.replaced else "",
        records=records,
        artifacts=tuple(found.sent),
        bytes=files.bytes + found.bytes,
        seconds=time.monotonic() - start,
    )


def _results(server: Server, known: Dialect, *, dry_run: bool) -> tuple[Tally, str]:
    backup = f"{STATE}/backup/pull-{time.strftime('%Y%m%d-%H%M%S')}"
    root = server.project.root
    for attempt in (1, 2):
        try:
            argv = rsync.pull_argv(server.remote, known, backup=root / backup, dry_run=dry_run)
            tally = transfer.run(argv, server.remote, cwd=root, title="pulling", known=known)
            return tally, backup
        except Unready as error:
            if attempt == 2:
                raise TransferError(f"rsync did not start on {server.target}: {error}") from None
            _look(server)
    raise AssertionError("unreachable")


def _look(server: Server) -> None:
    """Have the agent say what is wrong with a target from which rsync could not even start."""
    if server.prepare(look=True)["state"] == "absent":
        raise TransferError(f"{server.target} does not exist yet.", "Push first: make sync-push")


def _ask(server: Server, delta: IO[bytes]) -> dict[str, Any]:
    """Have the agent write what changed in the target's store into `delta`."""
    server.base.parent.mkdir(parents=True, exist_ok=True)
    known = merge.known(server.base, store=server.project.root / "mlflow.db")
    try:
        answer = server.call("delta", known=known, blob=delta)
    except TargetError:
        # The link to a target that others made may be all that is missing; _look tells the rest.
        _look(server)
        answer = server.call("delta", known=known, blob=delta)
    delta.flush()
    return answer


def _records(
    server: Server, answer: Mapping[str, Any], delta: Path, say: Callable[[str], None]
) -> Optional[MergeSummary]:
    """Merge what changed in the target's store into ours."""
    root = server.project.root
    store = root / "mlflow.db"
    if answer["empty"]:
        return None
    if not store.exists():
        say("making mlflow.db (once; MLflow takes some seconds for it)")
    merge.ensure_store(store, root / "mlruns")
    return merge.merge(
        delta,
        store=store,
        artifact_root=root / "mlruns",
        base=server.base,
        source=str(server.target),
    )


def _artifacts(server: Server, folders: Iterable[ArtifactFolder], known: Dialect) -> Tally:
    """Bring the artifact folders that the merge named, one rsync for each experiment."""
    total = Tally()
    for (source, destination), names in sorted(_grouped(folders).items()):
        (server.project.root / destination).mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", suffix=".filter") as wanted:
            wanted.write(rsync.artifact_filters(names))
            wanted.flush()
            argv = rsync.artifacts_argv(
                server.remote, source=source, destination=destination, wanted=Path(wanted.name)
            )
            found = _run_artifacts(argv, server, known)
        total.sent += [f"{destination}/{name}" for name in found.sent]
        total.bytes += found.bytes
    return total


def _run_artifacts(argv: list[str], server: Server, known: Dialect) -> Tally:
    try:
        return transfer.run(
            argv, server.remote, cwd=server.project.root, title="pulling artifacts", known=known
        )
    except Absent:
        # An experiment whose runs logged no artifact has no folder.
        return Tally()


def _grouped(folders: Iterable[ArtifactFolder]) -> dict[tuple[str, str], list[str]]:
    """(folder there, here) -> what to bring below it: runs of an experiment travel together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for folder in folders:
        source, destination = folder.remote.split("/", 2), folder.local.split("/", 2)
        if source[2:] == destination[2:] and source[2:]:
            key = ("/".join(source[:2]), "/".join(destination[:2]))
            groups.setdefault(key, []).append(source[2])
        else:
            groups[folder.remote, folder.local] = ["**"]
    return groups
