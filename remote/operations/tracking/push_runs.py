"""`inv mlflow-push`: the merge of a pull the other way round, with the models that the runs made."""

from __future__ import annotations

import os
import re
import secrets
import socket
import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from remote.config import declared
from remote.errors import StoreError
from remote.files import locked, login_name, remove_left
from remote.job.messages.records import TakeAnswer, TakeRequest
from remote.job.paths import STATE
from remote.operations.tracking import select_runs
from remote.operations.tracking.artifact_transfer import transfer_artifacts
from remote.operations.tracking.destination import destination
from remote.operations.tracking.merge_records import merging
from remote.operations.tracking.pull_records import pull_records, source_name
from remote.operations.tracking.select_runs import SelectedRuns, Selection
from remote.secret_files import is_secret
from remote.session import TargetSession, project_id
from remote.tracking import merge, schema
from remote.tracking.merge import experiment_map, ownership
from remote.tracking.merge.conflicts import open_conflicts
from remote.tracking.store import writing
from remote.transport import rsync_args
from remote.transport.rsync_dialect import dialect
from remote.transport.rsync_filters import IgnoreFile
from remote.transport.rsync_problems import Problem
from remote.transport.rsync_tally import Tally

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
    left_out: tuple[str, ...]
    """Tables and columns that have no place in the target's store."""
    obstacle: str
    """Why the records were not brought to the schema of that; empty where they are."""
    replaced: tuple[str, ...]
    backup: str
    bytes: int
    seconds: float
    model: str
    """How code there loads the first model of the first run."""
    problems: tuple[Problem, ...]
    """The artifacts that could not be sent."""


def push_runs(server: TargetSession, selection: Selection, *, dry_run: bool = False) -> PushedRuns:
    """Send the selected runs, with all that goes with them; twice changes nothing.

    What the target has is pulled first, and once more at the end. Raises StoreError for a run with
    an open conflict, and where the target changed each time meanwhile.
    """
    to, root = destination(server.project), server.project.root
    if not to.location.exists():
        raise StoreError(
            f"There is no {to.location}, so there is no run to copy.",
            "Pull them: inv sync-pull",
        )
    named = select_runs.resolve(to.location, selection)
    push = _Push(server, to.location, to.base(source_name(server)), root, selection, named)
    return push.preview() if dry_run else push.run()


@dataclass(frozen=True)
class _Push:
    """A push of the runs `named` from a store; `base` is the merge base of the target's records."""

    server: TargetSession
    store: Path
    base: Path
    root: Path
    selection: Selection
    named: tuple[str, ...]
    start: float = field(default_factory=time.monotonic)

    def run(self) -> PushedRuns:
        active_runs = self._gather().ids[schema.RUN]
        self.server.connect()
        with locked(self.server.project.state / "give.lock", "another mlflow-push"):
            remove_left(self.server.project.state, "give-*")
            for _ in range(TRIES):
                pull_records(self.server)
                with writing(self.store) as database:
                    # Who pushes a run means it, though it was deleted there since the last pull.
                    database.executemany(
                        "UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL"
                        " WHERE run_uuid = ? AND lifecycle_stage = 'deleted'",
                        [(run,) for run in active_runs],
                    )
                selected = self._select()
                # Before it goes: what is cut off from here on may be there already.
                for kind in filter(ownership.has_owner, selected.ids):
                    ownership.remember(self.base, kind, selected.ids[kind])
                answer, sent_bytes = self._send(selected)
                if not answer.changed:
                    break
            else:
                raise StoreError(
                    f"{self.server.target} changed each time meanwhile: {', '.join(answer.changed)}",
                    "Wait until nothing writes to it, then try again.",
                )
            files, backup = self._send_artifacts(selected, answer)
            with merging(self.server.project):
                experiment_map.learn(self.base, self.store, answer.links, source=self.server.source)
            pull_records(self.server)
        files.bytes += sent_bytes
        return self._report(selected, answer, files, backup)

    def preview(self) -> PushedRuns:
        """What would be sent, as far as is known without asking the target."""
        selected = self._select()
        files = Tally()
        for name, size in self._artifacts(selected).items():
            if not is_secret(name, self.allowed):
                files.sent.append(name)
                files.bytes += size
        new = sum(not known for known in self._seen(selected)[schema.RUN].values())
        return self._report(selected, TakeAnswer(new_runs=new), files, "")

    @cached_property
    def allowed(self) -> tuple[str, ...]:
        """What goes although it is called like a secret."""
        return IgnoreFile.of(self.root).allowed

    def _artifacts(self, selected: SelectedRuns) -> dict[str, int]:
        """The artifacts here, and their sizes."""
        walks = (os.walk(self.root / folder) for folder in selected.folders.values())
        paths = (
            Path(parent, name) for walk in walks for parent, _, names in walk for name in names
        )
        return {str(path.relative_to(self.root)): path.lstat().st_size for path in paths}

    def _gather(self) -> SelectedRuns:
        return select_runs.gather(self.store, self.named, self.selection, self.root)

    def _select(self) -> SelectedRuns:
        """Raises StoreError for what has a conflict that isn't settled."""
        selected = self._gather()
        with merging(self.server.project):
            conflicts = open_conflicts(self.base, self.store)
        for conflict, key in ((entry.conflict, entry.key) for entry in conflicts):
            table = schema.table_of(conflict.table)
            ids = selected.ids.get(table.owner, []) if table.owner != schema.EXPERIMENT else []
            # An assessment's key doesn't say whose it is: it may be of any trace.
            owner = dict(zip(table.key, key)).get(table.owner_column, "".join(ids[:1]))
            if str(owner) in ids:
                raise StoreError(
                    f"{conflict.table} {conflict.key} was changed both locally and on"
                    f" {self.server.target}.",
                    "Resolve that first: inv mlflow-conflicts",
                )
        return selected

    def _seen(self, selected: SelectedRuns) -> dict[str, dict[str, str]]:
        """The signatures, by kind and id, that the selected had there when it was last pulled."""
        known = merge.pull_state(self.base, store=self.store).get("signatures", {})
        return {
            kind: {name: known.get(kind, {}).get(name, "") for name in selected.ids[kind]}
            for kind in (schema.RUN, schema.MODEL, schema.TRACE)
        }

    def _send(self, selected: SelectedRuns) -> tuple[TakeAnswer, int]:
        """Have the agent merge the selected records; its answer, and the bytes that were sent."""
        server = self.server
        name = project_id(server.project) + secrets.token_hex(8)
        with tempfile.TemporaryDirectory(dir=server.project.state, prefix="give-") as text:
            folder = Path(text)
            select_runs.pack(self.store, folder, selected, self.root)

            def send() -> Tally:
                argv = rsync_args.incoming_argv(server.remote, dialect(), name=name)
                return server.rsync(argv, "sending", cwd=folder)

            sent = server.transfer(send)
        with merging(server.project):
            seen = self._seen(selected)
            links = experiment_map.for_the_other_side(self.base, self.store)
        request = TakeRequest(
            key=server.key,
            name=name,
            source=f"{login_name()}@{socket.gethostname()}",
            seen=seen,
            known=tuple(links),
            registry=bool(selected.ids[schema.REGISTERED_MODEL]),
            python=declared(self.root, "requires-python"),
        )
        return server.agent.call(request), sent.bytes

    def _send_artifacts(self, selected: SelectedRuns, answer: TakeAnswer) -> tuple[Tally, str]:
        """Send artifacts to where the records there now say that they are; also: the backup."""
        server, name = self.server, f"give-{time.strftime('%Y%m%d-%H%M%S')}"
        backup = f"{STATE}/backup/{name}" if answer.plain else f"mlruns/…/.{name}"

        def send(here: str, there: str, wanted: Path) -> Tally:
            # Relative, since no path of the server's may be in a command; where a link leads there,
            # `..` is not what it seems.
            above = "../" * len(there.split("/"))
            kept = f"{above}{backup}/{there}" if answer.plain else f".{name}"

            def run() -> Tally:
                argv = rsync_args.give_argv(
                    server.remote,
                    dialect(),
                    source=here,
                    destination=there,
                    wanted=wanted,
                    backup=kept,
                    allowed=self.allowed,
                )
                return server.rsync(argv, "sending artifacts", partly=True)

            return server.transfer(run)

        return transfer_artifacts(self._grouped(selected, answer), send), backup

    def _grouped(
        self, selected: SelectedRuns, answer: TakeAnswer
    ) -> dict[tuple[str, str], list[str]]:
        """(folder here, there) -> what goes below it. The server names no folder that isn't selected."""
        groups: dict[tuple[str, str], list[str]] = {}
        folders = {name for name in selected.folders.values() if (self.root / name).is_dir()}
        for folder in answer.artifacts:
            source, match = folder.remote, _FOLDER.match(folder.local)
            if match and source in folders and source.endswith(f"/{match[2]}"):
                above = source[: -len(match[2]) - 1]
                groups.setdefault((above, match[1]), []).append(match[2])
        return groups

    def _report(
        self, selected: SelectedRuns, answer: TakeAnswer, files: Tally, backup: str
    ) -> PushedRuns:
        ids, folders = selected.ids, selected.folders
        refused = [f"{record.kind} {record.id}: {record.reason}" for record in answer.refused]
        for identity, path in selected.outside.items():
            refused.append(f"{identity}: its artifacts are at {path}")
        for name in self._artifacts(selected):
            if is_secret(name, self.allowed):
                refused.append(f"{name}: called like a secret (!NAME in .rsyncignore allows it)")
        with_folder = [name for name in (*ids[schema.RUN], *ids[schema.MODEL]) if name in folders]
        return PushedRuns(
            runs=tuple(ids[schema.RUN]),
            models=tuple(ids[schema.MODEL]),
            traces=tuple(ids[schema.TRACE]),
            registered=tuple(ids[schema.REGISTERED_MODEL]),
            new_runs=answer.new_runs,
            files=tuple(files.sent),
            without=tuple(name for name in with_folder if not (self.root / folders[name]).is_dir()),
            refused=tuple(refused),
            left_out=answer.left_out,
            obstacle=answer.obstacle,
            replaced=tuple(files.replaced),
            backup=backup if files.replaced else "",
            bytes=files.bytes,
            seconds=time.monotonic() - self.start,
            model=selected.model,
            problems=tuple(files.problems),
        )
