"""Bring or send the folders of artifacts: those of an experiment travel together."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from remote.folders import move_aside
from remote.operations.transfers import one_name
from remote.operations.transfers.arrivals import Arrivals
from remote.operations.transfers.linked_folders import refusal
from remote.operations.transfers.room import temporary_options
from remote.tracking.merge import ArtifactFolder
from remote.transport import rsync, rsync_args, rsync_filters
from remote.transport.rsync_args import Remote
from remote.transport.rsync_dialect import Dialect, dialect
from remote.transport.rsync_problems import Problem, concerned
from remote.transport.rsync_tally import Tally

#: What a file says that names what is wanted, made of the names.
Content = Callable[[Iterable[str]], str]


@dataclass(frozen=True)
class ArtifactFetch:
    """Brings artifacts of `remote` into the project at `root`.

    What comes lies in `scratch` until it is whole; what it replaces goes to `backup`, a path below
    `root`.
    """

    root: Path
    remote: Remote
    scratch: Path
    backup: str

    def bring(
        self, folders: Sequence[ArtifactFolder], chosen: Mapping[str, Sequence[str]] | None = None
    ) -> Tally:
        """Bring these folders, without files that act by being there; or, of each by its `remote`,
        what is `chosen` in it."""
        groups = _grouped(folders, chosen)
        known = dialect() if groups else Dialect(frozenset())
        is_listed = rsync_args.listed(Path(), known)
        content: Content = rsync_args.artifact_list
        if not is_listed:
            content = rsync_args.artifact_filters if chosen is None else rsync_filters.file_filters
        arrivals = {folder.local: Arrivals.of(self.root / folder.local) for folder in folders}
        fetched = transfer_artifacts(groups, partial(self._bring, known), content)
        names = {name[: slash.start()] for name in fetched.sent for slash in re.finditer("/", name)}
        for touched in names & arrivals.keys():
            removed = Tally()
            arrivals[touched].undo(removed, self.root / self.backup / touched)
            fetched.add(removed, touched)
        return fetched

    def _bring(self, known: Dialect, there: str, here: str, wanted: Path) -> Tally:
        """Bring what `wanted` names from one folder there into one here."""
        folder, backup = self.root / here, self.root / self.backup
        problem = refusal(self.root, here)
        if problem:
            return Tally(problems=[problem])
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return Tally(problems=[Problem(here, error.strerror or str(error))])
        argv = rsync_args.artifacts_argv(
            self.remote,
            known,
            source=there,
            destination=here,
            wanted=rsync_args.listed(wanted, known) or rsync_args.filtered(wanted),
            backup=backup / here,
            temporary=temporary_options(self.scratch, folder),
        )
        bring = partial(
            rsync.run, remote=self.remote, cwd=self.root, title="pulling artifacts", partly=True
        )
        # An experiment whose runs logged no artifact has no folder.
        with suppress(rsync.Absent):
            clear = partial(move_aside, self.root, folder, backup=backup)
            tally = rsync.run_clearing(partial(bring, argv), clear)
            if one_name.is_blind(folder):
                # What would come if nothing were here.
                every = bring([argv[0], "--dry-run", "--ignore-times", *argv[1:]]).sent
                paths = (f"{here}/{name}" for name in every)
                tally.problems += one_name.problems(paths, str(self.remote.target))
            return tally
        return Tally()


def came_whole(
    folders: Sequence[ArtifactFolder], problems: Sequence[Problem]
) -> Iterator[ArtifactFolder]:
    """The folders of artifacts that came whole, as far as the problems name a path."""
    stayed = concerned(problems, chain.from_iterable((each.local, each.remote) for each in folders))
    return (each for each in folders if not stayed.intersection((each.local, each.remote)))


def transfer_artifacts(
    groups: Mapping[tuple[str, str], Sequence[str]],
    transfer: Callable[[str, str, Path], Tally],
    content: Content = rsync_args.artifact_filters,
) -> Tally:
    """Bring or send groups of artifact folders: (folder at the one end, at the other) -> names in it.

    `transfer` runs the rsync for one group, some of them at once; it is given both folders and a file
    that names what is wanted, whose `content` is made of the names.
    """

    def move(ends: tuple[str, str]) -> Tally:
        with tempfile.NamedTemporaryFile(
            "w", suffix=".wanted", encoding="utf-8", errors="surrogateescape", newline=""
        ) as wanted:
            wanted.write(content(groups[ends]))
            wanted.flush()
            return transfer(*ends, Path(wanted.name))

    result, ordered = Tally(), sorted(groups)
    with ThreadPoolExecutor(rsync.AT_ONCE) as pool:
        for (_, target), moved in zip(ordered, pool.map(move, ordered)):
            result.add(moved, target)
    return result


def _grouped(
    folders: Iterable[ArtifactFolder], chosen: Mapping[str, Sequence[str]] | None = None
) -> dict[tuple[str, str], list[str]]:
    """(folder there, here) -> what to bring below it: runs of an experiment travel together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for folder in folders:
        source, target = folder.remote.split("/", 2), folder.local.split("/", 2)
        names = None if chosen is None else chosen.get(folder.remote, ())
        if names is not None and not names:
            continue
        if source[2:] == target[2:] and source[2:]:
            key = ("/".join(source[:2]), "/".join(target[:2]))
            inner = [source[2]] if names is None else [f"{source[2]}/{name}" for name in names]
            groups.setdefault(key, []).extend(inner)
        else:
            groups[folder.remote, folder.local] = ["**"] if names is None else list(names)
    return groups
