"""Bring what a job's code wrote where no pull brings it from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from remote.errors import JobError
from remote.job.messages.old_jobs import UnpulledRequest
from remote.job.outputs import below
from remote.job.paths import STATE
from remote.operations.tracking.merge_records import merging
from remote.operations.transfers import linked_folders, one_name
from remote.operations.transfers.arrivals import Arrivals
from remote.operations.transfers.pull_backups import new_backup
from remote.operations.transfers.room import temporary_options
from remote.session import TargetSession
from remote.transport import rsync_args, rsync_filters
from remote.transport.acting_files import acts
from remote.transport.rsync_dialect import dialect
from remote.transport.rsync_problems import Problem, concerned
from remote.transport.rsync_tally import Tally

#: Where it goes: at its own path it would take the place of the project's files.
FOLDER = "data/results/fetched"


class Fetched(NamedTuple):
    """What came: the folder here, the bytes of each file in it, and what could not come; what was
    replaced here, and the folder that keeps it; what was left there since it leads out, or acts by being there;
    and how many more artifacts a pull has left of the run.
    """

    folder: str
    files: dict[str, int]
    problems: list[Problem]
    replaced: list[str]
    backup: str
    left: list[str]
    acting: list[str]
    on_server: int = 0


def fetch(server: TargetSession, job: str, wanted: Sequence[str]) -> Fetched:
    """Bring these files and folders, or all; the job keeps its own copies, and may go.

    What acts by being there comes only where it is named by a path of its own.
    Raises JobError.
    """
    answer = server.agent.call(UnpulledRequest(key=server.key, job=job))
    chosen = selected(answer.files, wanted)
    files = {name: chosen[name] for name in chosen if not acts(name) or is_named(name, wanted)}
    folder, root = f"{FOLDER}/{answer.id}", server.project.root.resolve()
    (root / folder).mkdir(parents=True, exist_ok=True)
    top = root / "data/results"
    own = top if linked_folders.refusal(root, "data/results") else top.resolve()
    if (root / folder).resolve() != own / (root / folder).relative_to(top):
        # An earlier pull may have brought it: what comes now would follow.
        raise JobError(f"{folder} is a link, or lies behind one.", "Remove that link.")
    in_data = [name for name in files if below(name, ["data"])]
    in_code = [name for name in files if not below(name, ["data"])]
    tally, backup = Tally(), new_backup()
    arrivals = Arrivals.of(root / folder)
    with merging(server.project) as scratch:
        for source, names in ((".", in_data), (f"{STATE}/jobs/{answer.id}/code", in_code)):
            filters = scratch / "filters"
            filters.write_bytes(
                rsync_filters.file_filters(names).encode("utf-8", "surrogateescape")
            )
            argv = rsync_args.artifacts_argv(
                server.remote,
                dialect(),
                acting=True,
                source=source,
                destination=folder,
                wanted=rsync_args.filtered(filters),
                backup=root / backup / folder,
                temporary=temporary_options(scratch, root / folder),
            )
            if names:
                tally.add(server.rsync(argv, "fetching", partly=True), folder)
    arrivals.undo(tally, root / backup / folder, kept=files)
    if one_name.is_blind(root / folder):
        tally.problems += one_name.problems(files, str(server.target))
    # What stood here before may be another one.
    tally.drop_stayed()
    stayed = concerned(tally.problems, files)
    brought = {
        name: files[name]
        for name in files
        if (root / folder / name).is_file() and name not in stayed
    }
    # A job that went on may have ended since, and have written more: that is still only there.
    if answer.ended:
        server.agent.call(UnpulledRequest(key=server.key, job=answer.id, brought=tuple(brought)))
    acting = [*sorted(set(chosen) - set(files)), *tally.acting]
    return Fetched(folder, brought, tally.problems, tally.replaced, backup, tally.left, acting)


def is_named(name: str, wanted: Sequence[str]) -> bool:
    """Whether a path that acts itself was asked for, not a folder or pattern that it goes with."""
    return any(acts(path) and below(name, [path.rstrip("/")]) for path in wanted)


def selected(files: Mapping[str, int], wanted: Sequence[str]) -> dict[str, int]:
    """Those that a path or pattern names, or that lie below one; raises JobError."""
    matching = {} if wanted else dict(files)
    for path in (path.rstrip("/") for path in wanted):
        part = {
            name: files[name] for name in files if below(name, [path]) or fnmatchcase(name, path)
        }
        if not part:
            names = ", ".join(list(files)[:5]) or "nothing"
            raise JobError(f"It left no {path!r} to fetch.", f"It left {names}.")
        matching.update(part)
    return matching
