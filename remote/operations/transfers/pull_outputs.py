"""Bring back the folders and files that jobs write, each by an rsync of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from remote.folders import move_aside
from remote.job import outputs
from remote.job.outputs import Output
from remote.operations.transfers import linked_folders, one_name
from remote.operations.transfers.arrivals import Arrivals
from remote.operations.transfers.room import temporary_options
from remote.operations.transfers.unchanged_outputs import UnchangedOutputs
from remote.session import TargetSession
from remote.transport import rsync, rsync_args
from remote.transport.rsync_dialect import Dialect
from remote.transport.rsync_filters import only_filters
from remote.transport.rsync_problems import DANGLING, IN_THE_WAY, UNREADABLE, Problem
from remote.transport.rsync_tally import Tally

#: What is the matter with an output there, by its state: what to call it, and its kind.
_UNFIT = {
    outputs.FILE: ("a file, and no folder", IN_THE_WAY),
    outputs.DANGLING: ("a link that leads nowhere, or lies behind one", DANGLING),
    outputs.UNREADABLE: ("it can't be looked into", UNREADABLE),
}


@dataclass(frozen=True)
class PulledOutputs:
    """One pull of what the project's jobs write."""

    server: TargetSession
    dialect: Dialect
    backup: Path
    declared: tuple[str, ...]
    dry_run: bool
    only: tuple[str, ...] = ()
    """Patterns of what is wanted; everything without one."""

    @property
    def paths(self) -> tuple[str, ...]:
        """What the agent is to look at: all outputs, since artifacts lie in some that aren't
        pulled as they are."""
        return outputs.paths(self.declared)

    @property
    def pulled_paths(self) -> tuple[str, ...]:
        """Those of them that are pulled as they are."""
        return tuple(row.path for row in outputs.table(self.declared) if row.pulled)

    def bring(self, states: Mapping[str, str], marks: Mapping[str, str], scratch: Path) -> Tally:
        """Bring what there is and may have changed; `states` and `marks` are what the agent found
        at each path.

        What comes lies in `scratch` until it is whole.
        """
        tally = Tally(problems=list(self._unfit(states)))
        rows = [
            row
            for row in outputs.table(self.declared)
            if row.pulled and self._filters(row.path) is not None
        ]
        filled = [row for row in rows if states.get(row.path) == _wanted(row)]
        unchanged = UnchangedOutputs.of(self.server, marks, [row.path for row in filled])
        changed = [row for row in filled if row.path not in unchanged.paths]
        paths = [row.path if row.is_file else f"{row.path}/" for row in changed]
        with ThreadPoolExecutor(rsync.AT_ONCE) as pool:
            for row, part in zip(changed, pool.map(partial(self._bring, scratch), paths)):
                unchanged.add(row.path, part)
                tally.add(part, ".")
        # Of what wasn't wanted, nothing is known.
        if not self.dry_run and not self.only:
            unchanged.write()
        return tally

    def _filters(self, folder: str) -> list[str] | None:
        """rsync's options for what is wanted of a folder; None where that is nothing."""
        return only_filters(self.only, folder) if self.only else []

    def _unfit(self, states: Mapping[str, str]) -> Iterator[Problem]:
        target = str(self.server.target)
        for row in outputs.table(self.declared):
            state = states.get(row.path, outputs.ABSENT)
            if row.is_file and state in (outputs.FILLED, outputs.EMPTY):
                yield Problem(row.path, "a folder, and no file", IN_THE_WAY, target)
            elif state in _UNFIT and state != _wanted(row):
                yield Problem(row.path, *_UNFIT[state], target)

    def _bring(self, scratch: Path, path: str, above: tuple[str, ...] = ()) -> Tally:
        """Bring one output, and then, each by a transfer of its own, what goes into folders in it
        that are the user's links to elsewhere; `above` is where those on the way here lead."""
        root = self.server.project.root
        folder = str(Path(path).parent) if not path.endswith("/") else path[:-1]
        problem = self._make_folder(folder)
        if problem and problem.kind == IN_THE_WAY:
            return Tally(problems=[problem])
        if problem:
            # What it would not bring anyway is no problem.
            would = self._transfer(path, folder, scratch, dry_run=True)
            return Tally(problems=[problem] if would.sent else [])
        if not self.dry_run:
            # Several rsyncs that make the same folder at once get into each other's way. What stays
            # empty goes at the end.
            (self.backup / folder).mkdir(parents=True, exist_ok=True)
        way = (*above, os.path.realpath(root / folder))
        if not path.endswith("/"):
            return self._transfer(path, folder, scratch, dry_run=self.dry_run)
        arrivals = Arrivals.of(root / folder)
        tally = self._transfer(path, folder, scratch, arrivals.links, dry_run=self.dry_run)
        if one_name.is_blind(root / folder):
            every = self._transfer(path, folder, scratch, arrivals.links, dry_run=True, every=True)
            tally.problems += one_name.problems(every.sent, str(self.server.target))
        if tally.sent and not self.dry_run:
            removed = Tally()
            arrivals.undo(removed, self.backup / folder)
            tally.add(removed, folder)
        for name in arrivals.links:
            if os.path.realpath(root / folder / name) not in way:
                tally.add(self._bring(scratch, f"{folder}/{name}/", way), ".")
        return tally

    def _transfer(
        self,
        path: str,
        folder: str,
        scratch: Path,
        apart: Sequence[str] = (),
        *,
        dry_run: bool,
        every: bool = False,
    ) -> Tally:
        """Bring an output, or tell what would come: of `every` file, as if none were here."""
        root = self.server.project.root
        argv = rsync_args.pull_argv(
            self.server.remote,
            self.dialect,
            path,
            backup=self.backup / folder,
            dry_run=dry_run,
            temporary=temporary_options(scratch, root / folder),
            apart=apart,
            only=[*(self._filters(path.rstrip("/")) or []), *["--ignore-times"] * every],
        )

        def run() -> Tally:
            tally = Tally()
            tally.add(self.server.rsync(argv, f"pulling {folder}", partly=True), folder)
            return tally

        def clear(paths: Sequence[str]) -> None:
            if not dry_run:
                move_aside(root, root / folder, paths, self.backup)

        with suppress(rsync.Absent):
            return self.server.transfer(lambda: rsync.run_clearing(run, clear))
        return Tally()

    def _make_folder(self, folder: str) -> Problem | None:
        """Make what is written to; a file in its place goes into the backup first."""
        root = self.server.project.root
        problem = linked_folders.refusal(root, folder, self.declared)
        if problem:
            return problem
        if (root / folder).is_file() and not self.dry_run:
            self.backup.mkdir(parents=True, exist_ok=True)
            # By its own name it would be in the way of rsync's backup of the folder.
            shutil.move(root / folder, self.backup / f"{Path(folder).name}.file")
        try:
            if not self.dry_run:
                (root / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return Problem(folder, error.strerror or str(error))
        return None


def _wanted(row: Output) -> str:
    return outputs.FILE if row.is_file else outputs.FILLED
