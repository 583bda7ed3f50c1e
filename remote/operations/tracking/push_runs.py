"""`inv mlflow-push`: the merge of a pull the other way round, with the models that the runs made."""

from __future__ import annotations

import getpass
import os
import re
import secrets
import socket
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from remote.errors import StoreError, TransferError
from remote.files import locked
from remote.job.messages.records import ArtifactPair, TakeAnswer, TakeRequest
from remote.job.paths import STATE
from remote.operations.job_request import requires_python
from remote.operations.tracking import runs_delta, select_runs
from remote.operations.tracking.destination import Destination, destination
from remote.operations.tracking.merge_records import filter_file, merging
from remote.operations.tracking.pull_records import look, pull_records, source_name
from remote.operations.tracking.select_runs import SelectedRuns, Selection
from remote.session import TargetSession, project_id
from remote.tracking import merge, schema
from remote.tracking.merge import experiment_map
from remote.tracking.merge.conflicts import open_conflicts
from remote.transport import rsync, rsync_args
from remote.transport.rsync import Unready
from remote.transport.rsync_args import Tally

TRIES = 3

_FOLDER = re.compile(r"(mlruns/\d+(?:/models|/traces)?)/([A-Za-z0-9_-]+/artifacts)\Z")


@dataclass(frozen=True)
class PushedRuns:
    """What a target was sent. Of a dry run: what it would be sent, and how much that is."""

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


def push_runs(server: TargetSession, selection: Selection, *, dry_run: bool = False) -> PushedRuns:
    """Send the selected runs, with all that goes with them; twice changes nothing.

    What the target has is pulled first, and once more at the end. Raises StoreError for a run with
    an open conflict, and where the target changed each time meanwhile.
    """
    start = time.monotonic()
    to = destination(server.project)
    if not to.location.exists():
        raise StoreError(f"There is no {to.location}, so there is no run to give.")
    named = select_runs.resolve(to.location, selection)
    push = _Push(server, to, selection, named)
    pushed = push.preview() if dry_run else push.run()
    return replace(pushed, seconds=time.monotonic() - start)


@dataclass(frozen=True)
class _Push:
    """A push of the runs `named` from the store of `to`."""

    server: TargetSession
    to: Destination
    selection: Selection
    named: tuple[str, ...]

    @property
    def store(self) -> Path:
        return self.to.location

    @property
    def root(self) -> Path:
        return self.server.project.root

    @property
    def base(self) -> Path:
        """The merge base of the target's records."""
        return self.to.base(source_name(self.server))

    def run(self) -> PushedRuns:
        active_runs = select_runs.active(self.store, self.named)
        self.server.connect()
        with locked(self.server.project.state / "give.lock"):
            for _ in range(TRIES):
                pull_records(self.server)
                # Who pushes a run means it, though it was deleted there since the last pull.
                select_runs.undelete(self.store, active_runs)
                selected = self._select()
                answer, sent_bytes = self._send(selected)
                if not answer.changed:
                    break
            else:
                raise StoreError(
                    f"{self.server.target} changed each time meanwhile: {', '.join(answer.changed)}",
                    "Wait until nothing writes to that there, then try again.",
                )
            files, backup = self._send_artifacts(selected, answer)
            with merging(self.server.project):
                experiment_map.learn(
                    self.base, self.store, answer.links, source=str(self.server.target)
                )
            pull_records(self.server)
        pushed = self._report(selected, answer, files, backup)
        return replace(pushed, bytes=files.bytes + sent_bytes)

    def preview(self) -> PushedRuns:
        """What would be sent, as far as is known without asking the target."""
        selected = self._select()
        runs_there = self._signatures().get(schema.RUN, {})
        files = Tally()
        for folder in selected.folders.values():
            for parent, _, names in os.walk(self.root / folder):
                paths = [Path(parent) / name for name in names]
                files.sent += [str(path.relative_to(self.root)) for path in paths]
                files.bytes += sum(path.lstat().st_size for path in paths)
        new = sum(run not in runs_there for run in selected.ids[schema.RUN])
        return self._report(selected, TakeAnswer(new_runs=new), files, "")

    def _select(self) -> SelectedRuns:
        selected = select_runs.gather(self.store, self.named, self.selection, self.root)
        with merging(self.server.project):
            conflicts = open_conflicts(self.base, self.store)
        selected_ids = {identity for ids in selected.ids.values() for identity in ids}
        for entry in conflicts:
            conflict = entry.conflict
            kind, owner = select_runs.owner_of(self.store, conflict.table, entry.key)
            if kind != schema.EXPERIMENT and owner in selected_ids:
                raise StoreError(
                    f"{conflict.table} {conflict.key} was changed here and on"
                    f" {self.server.target}.",
                    "Settle that first: inv mlflow-conflicts",
                )
        return selected

    def _signatures(self) -> dict[str, dict[str, str]]:
        """Of what the target had when it was last pulled, by kind and id."""
        state = merge.pull_state(self.base, store=self.store)
        signatures: dict[str, dict[str, str]] = state.get("signatures", {})
        return signatures

    def _send(self, selected: SelectedRuns) -> tuple[TakeAnswer, int]:
        """Have the agent merge the selected records; its answer, and the bytes that were sent."""
        server = self.server
        name = project_id(server.project) + secrets.token_hex(8)
        with tempfile.TemporaryDirectory(dir=server.project.state, prefix="give-") as folder:
            runs_delta.pack(self.store, Path(folder), selected, self.root)
            sent = _transfer(
                server, rsync_args.incoming_argv, cwd=Path(folder), title="sending", name=name
            )
        with merging(server.project):
            signatures = self._signatures()
            links = experiment_map.for_the_other_side(self.base, self.store)
        request = TakeRequest(
            key=server.key,
            name=name,
            source=f"{getpass.getuser()}@{socket.gethostname()}",
            seen={
                kind: {
                    identity: signatures.get(kind, {}).get(identity, "")
                    for identity in selected.ids[kind]
                }
                for kind in (schema.RUN, schema.MODEL, schema.TRACE)
            },
            known=tuple(links),
            registry=bool(selected.ids.get(schema.REGISTERED_MODEL)),
            python=requires_python(self.root),
        )
        return server.agent.call(request), sent.bytes

    def _send_artifacts(self, selected: SelectedRuns, answer: TakeAnswer) -> tuple[Tally, str]:
        """Send artifacts to where the records there now say that they are; also: the backup."""
        result = Tally()
        backup = f"{STATE}/backup/give-{time.strftime('%Y%m%d-%H%M%S')}"
        groups = _grouped(selected, answer.artifacts, self.root)
        for (source, target), names in sorted(groups.items()):
            # Relative, since no path of the server's may be in a command; where a link leads there,
            # `..` is not what it seems.
            above = "../" * len(target.split("/"))
            with filter_file(names) as wanted:
                sent = _transfer(
                    self.server,
                    rsync_args.give_argv,
                    cwd=self.root,
                    title="sending artifacts",
                    source=source,
                    destination=target,
                    wanted=wanted,
                    backup=f"{above}{backup}/{target}" if answer.plain else f".{Path(backup).name}",
                )
            result.sent += [f"{target}/{name}" for name in sent.sent]
            result.replaced += [f"{target}/{name}" for name in sent.replaced]
            result.bytes += sent.bytes
        return result, backup if answer.plain else f"mlruns/…/.{Path(backup).name}"

    def _report(
        self, selected: SelectedRuns, answer: TakeAnswer, files: Tally, backup: str
    ) -> PushedRuns:
        ids, folders = selected.ids, selected.folders
        refused = [f"{record.kind} {record.id}: {record.reason}" for record in answer.refused]
        refused += [
            f"{identity}: its artifacts are at {path}"
            for identity, path in selected.outside.items()
        ]
        with_folder = [name for name in (*ids[schema.RUN], *ids[schema.MODEL]) if name in folders]
        return PushedRuns(
            runs=tuple(ids[schema.RUN]),
            models=tuple(ids[schema.MODEL]),
            traces=tuple(ids[schema.TRACE]),
            registered=tuple(ids.get(schema.REGISTERED_MODEL, ())),
            new_runs=answer.new_runs,
            files=tuple(files.sent),
            without=tuple(name for name in with_folder if not (self.root / folders[name]).is_dir()),
            refused=tuple(refused),
            replaced=tuple(files.replaced),
            backup=backup if files.replaced else "",
            bytes=files.bytes,
            seconds=0.0,
            model=select_runs.model_uri(self.store, self.named[0]),
        )


def _transfer(server: TargetSession, argv: Any, *, cwd: Path, title: str, **options: Any) -> Tally:
    """Run one rsync to the target; `argv` makes its command line."""
    dialect = rsync.dialect()
    for _ in range(2):
        try:
            command = argv(server.remote, **options)
            return rsync.run(command, server.remote, cwd=cwd, title=title, dialect=dialect)
        except Unready as error:
            reason = str(error)
            look(server)
    raise TransferError(f"rsync did not start on {server.target}: {reason}")


def _grouped(
    selected: SelectedRuns, folders: Iterable[ArtifactPair], root: Path
) -> dict[tuple[str, str], list[str]]:
    """(folder here, there) -> what goes below it. The server names no folder that isn't selected."""
    selected_folders = set(selected.folders.values())
    groups: dict[tuple[str, str], list[str]] = {}
    for folder in folders:
        source, match = folder.source, _FOLDER.match(folder.target)
        if match is None or source not in selected_folders or not (root / source).is_dir():
            continue
        if source.endswith(f"/{match[2]}"):
            above = source[: -len(match[2]) - 1]
            groups.setdefault((above, match[1]), []).append(match[2])
    return groups
