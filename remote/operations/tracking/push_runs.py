"""Give runs to a target: the merge of a pull, the other way round, with the models they made."""

from __future__ import annotations

import getpass
import os
import re
import secrets
import socket
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.config import Project
from remote.errors import StoreError, TransferError
from remote.files import locked
from remote.job.messages.records import ArtifactPair, ExperimentLink, TakeAnswer, TakeRequest
from remote.job.paths import STATE
from remote.operations.job_request import requires_python
from remote.operations.tracking import runs_delta
from remote.operations.tracking import select_runs as choosing
from remote.operations.tracking.destination import Destination, destination
from remote.operations.tracking.merge_records import Say, merging
from remote.operations.tracking.pull_records import look, pull_records, source_name
from remote.operations.tracking.select_runs import Chosen, Wish
from remote.session import TargetSession, project_id
from remote.tracking import merge, schema
from remote.tracking.merge import experiment_map
from remote.tracking.merge.conflicts import open_conflicts
from remote.tracking.merge.plan_experiments import Link
from remote.transport import rsync, rsync_args
from remote.transport.rsync import Unready
from remote.transport.rsync_args import Tally

TRIES = 3

_FOLDER = re.compile(r"(mlruns/\d+(?:/models|/traces)?)/([A-Za-z0-9_-]+/artifacts)\Z")


@dataclass(frozen=True)
class Given:
    """What a target was given. Of a dry run: what it would be given, and how much that is."""

    runs: tuple[str, ...]
    models: tuple[str, ...]
    traces: tuple[str, ...]
    registered: tuple[str, ...]
    new_runs: int
    """Those of the runs that the target hadn't."""
    files: tuple[str, ...]
    """The artifacts that were sent."""
    without: tuple[str, ...]
    """Runs and models that have no artifacts here."""
    refused: tuple[str, ...]
    replaced: tuple[str, ...]
    backup: str
    bytes: int
    seconds: float
    model: str
    """How code there loads the first model of the first run."""


def give(server: TargetSession, wish: Wish, *, say: Say, dry_run: bool = False) -> Given:
    """Give the runs that the wish names, with all that goes with them; twice changes nothing.

    What the target has is pulled first, and once more at the end. Raises StoreError for a run with
    an open conflict, and where the target changed each time meanwhile.
    """
    start = time.monotonic()
    to = destination(server.project)
    store = _store(to)
    named = choosing.resolve(store, wish)
    if dry_run:
        return _looked(server, to, store, named, wish, start)
    alive = choosing.alive(store, named)
    server.connect()
    with locked(server.project.state / "give.lock"):
        for _ in range(TRIES):
            pull_records(server, say=say)
            # Who gives a run means it, though it was deleted there since the last pull.
            choosing.revive(store, alive)
            chosen = _choose(server, to, store, named, wish)
            answer, sent = _send(server, to, store, chosen, wish)
            if not answer.changed:
                break
        else:
            raise StoreError(
                f"{server.target} changed each time meanwhile: {', '.join(answer.changed)}",
                "Wait until nothing writes to that there, then try again.",
            )
        files, backup = _artifacts(server, chosen, answer)
        with merging(server.project):
            experiment_map.learn(
                to.base(source_name(server)),
                store,
                [Link(**vars(link)) for link in answer.links],
                source=str(server.target),
            )
        pull_records(server, say=say)
    return _given(server.project, store, chosen, answer, files, backup, sent, start)


def _store(to: Destination) -> Path:
    if not to.location.exists():
        raise StoreError(f"There is no {to.location}, so there is no run to give.")
    return to.location


def _choose(
    server: TargetSession, to: Destination, store: Path, named: Sequence[str], wish: Wish
) -> Chosen:
    chosen = choosing.gather(store, named, wish, to.project.root)
    with merging(to.project):
        found = open_conflicts(to.base(source_name(server)), store)
    mine = {identity for ids in chosen.things.values() for identity in ids}
    for each in found:
        kind, owner = choosing.owner_of(store, each.conflict.table, each.key)
        if kind != schema.EXPERIMENT and owner in mine:
            raise StoreError(
                f"{each.conflict.table} {each.conflict.key} was changed here and on"
                f" {server.target}.",
                "Settle that first: inv mlflow-conflicts",
            )
    return chosen


def _send(
    server: TargetSession, to: Destination, store: Path, chosen: Chosen, wish: Wish
) -> tuple[TakeAnswer, int]:
    """Have the agent merge what was chosen; its answer, and how many bytes that took."""
    base = to.base(source_name(server))
    name = project_id(server.project) + secrets.token_hex(8)
    with tempfile.TemporaryDirectory(dir=server.project.state, prefix="give-") as folder:
        runs_delta.pack(store, Path(folder), chosen, server.project.root)
        sent = _transfer(
            server, rsync_args.incoming_argv, cwd=Path(folder), title="sending", name=name
        )
        registry = bool(chosen.things.get(schema.REGISTERED_MODEL))
    with merging(server.project):
        known = merge.pull_state(base, store=store).get("signatures", {})
        linked = experiment_map.for_the_other_side(base, store)
    seen = {
        kind: {identity: known.get(kind, {}).get(identity, "") for identity in ids}
        for kind, ids in chosen.things.items()
        if kind in (schema.RUN, schema.MODEL, schema.TRACE)
    }
    request = TakeRequest(
        key=server.key,
        name=name,
        source=f"{getpass.getuser()}@{socket.gethostname()}",
        seen=seen,
        known=tuple(ExperimentLink(**vars(link)) for link in linked),
        registry=registry,
        python=requires_python(server.project.root),
    )
    return server.agent.call(request), sent.bytes


def _transfer(server: TargetSession, argv: Any, *, cwd: Path, title: str, **given: Any) -> Tally:
    """Run one rsync to the target; `argv` makes its command line."""
    dialect = rsync.dialect()
    for _ in range(2):
        try:
            command = argv(server.remote, **given)
            return rsync.run(command, server.remote, cwd=cwd, title=title, dialect=dialect)
        except Unready as error:
            said = str(error)
            look(server)
    raise TransferError(f"rsync did not start on {server.target}: {said}")


def _artifacts(server: TargetSession, chosen: Chosen, answer: TakeAnswer) -> tuple[Tally, str]:
    """Send the artifacts to where the records there now say that they are."""
    result = Tally()
    backup = f"{STATE}/backup/give-{time.strftime('%Y%m%d-%H%M%S')}"
    root = server.project.root
    for (source, target), names in sorted(_grouped(chosen, answer.artifacts, root).items()):
        # Relative, since no path of the server's may be in a command; where a link leads there,
        # `..` is not what it seems.
        above = "../" * len(target.split("/"))
        kept = f"{above}{backup}/{target}" if answer.plain else f".{Path(backup).name}"
        with tempfile.NamedTemporaryFile("w", suffix=".filter") as wanted:
            wanted.write(rsync_args.artifact_filters(names))
            wanted.flush()
            found = _transfer(
                server,
                rsync_args.give_argv,
                cwd=root,
                title="sending artifacts",
                source=source,
                destination=target,
                wanted=Path(wanted.name),
                backup=kept,
            )
        result.sent += [f"{target}/{name}" for name in found.sent]
        result.replaced += [f"{target}/{name}" for name in found.replaced]
        result.bytes += found.bytes
    return result, backup if answer.plain else f"mlruns/…/.{Path(backup).name}"


def _grouped(
    chosen: Chosen, folders: Iterable[ArtifactPair], root: Path
) -> dict[tuple[str, str], list[str]]:
    """(folder here, there) -> what goes below it. The server names no folder that isn't chosen."""
    mine = set(chosen.folders.values())
    groups: dict[tuple[str, str], list[str]] = {}
    for folder in folders:
        source, target = folder.source, folder.target
        match = _FOLDER.match(target)
        if (
            source in mine
            and match
            and source.endswith(f"/{match[2]}")
            and (root / source).is_dir()
        ):
            above = source[: -len(match[2]) - 1]
            groups.setdefault((above, match[1]), []).append(match[2])
    return groups


def _looked(
    server: TargetSession,
    to: Destination,
    store: Path,
    named: Sequence[str],
    wish: Wish,
    start: float,
) -> Given:
    """What would be given, as far as is known without asking the target."""
    chosen = _choose(server, to, store, named, wish)
    known = merge.pull_state(to.base(source_name(server)), store=store).get("signatures", {})
    there = known.get(schema.RUN, {})
    root = server.project.root
    files = Tally()
    for folder in chosen.folders.values():
        for place, _, names in os.walk(root / folder):
            paths = [Path(place) / name for name in names]
            files.sent += [str(path.relative_to(root)) for path in paths]
            files.bytes += sum(path.lstat().st_size for path in paths)
    new = sum(run not in there for run in chosen.runs)
    return _given(server.project, store, chosen, TakeAnswer(new_runs=new), files, "", 0, start)


def _given(
    project: Project,
    store: Path,
    chosen: Chosen,
    answer: TakeAnswer,
    files: Tally,
    backup: str,
    sent: int,
    start: float,
) -> Given:
    things = chosen.things
    refused = [f"{record.kind} {record.id}: {record.reason}" for record in answer.refused]
    refused += [f"{each}: its artifacts are at {place}" for each, place in chosen.astray.items()]
    with_folder = [*things[schema.RUN], *things[schema.MODEL]]
    return Given(
        runs=tuple(things[schema.RUN]),
        models=tuple(things[schema.MODEL]),
        traces=tuple(things[schema.TRACE]),
        registered=tuple(things.get(schema.REGISTERED_MODEL, ())),
        new_runs=answer.new_runs,
        files=tuple(files.sent),
        without=tuple(
            each
            for each in with_folder
            if each in chosen.folders and not (project.root / chosen.folders[each]).is_dir()
        ),
        refused=tuple(refused),
        replaced=tuple(files.replaced),
        backup=backup if files.replaced else "",
        bytes=files.bytes + sent,
        seconds=time.monotonic() - start,
        model=choosing.model_uri(store, chosen.named[0]),
    )
