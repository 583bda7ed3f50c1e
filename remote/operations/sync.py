"""Push: mirror the project to its target, and hurt nothing there. Pull: results back by rsync, records
back by the merge, then the artifacts it names."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from remote.files import read_json, user_and_host, write_json
from remote.job.messages.target import ABSENT, FOREIGN, OURS
from remote.job.paths import CLAIMS, STATE
from remote.job.tree import PushStamp
from remote.operations.transfers.changes import Changes
from remote.operations.transfers.project_look import look
from remote.operations.transfers.project_outputs import declared_outputs
from remote.operations.transfers.push_guard import moment, outlast, push_lock
from remote.operations.transfers.push_transfer import MOST_LEFT, REPEATS, PushTransfer
from remote.operations.transfers.room import finishing
from remote.operations.transfers.undecided import undecided, undecided_among
from remote.output import plural, say_first, size
from remote.session import TargetSession, project_id
from remote.transport import rsync
from remote.transport.rsync_dialect import dialect
from remote.transport.rsync_problems import DAMAGED, Problem
from remote.transport.rsync_tally import Tally

if TYPE_CHECKING:
    from remote.operations.tracking.merge_records import Records
    from remote.operations.tracking.pull_records import FetchedDelta


@dataclass(frozen=True)
class Pushed:
    """What a push did. `backup` is the folder on the server with what it replaced or deleted.

    `foreign` says that files were there that this project never pushed, so nothing was deleted.
    `id` is what the tree there is known by until the next push to it.
    """

    files: Tally
    seconds: float
    backup: str
    foreign: bool
    id: str
    began: int
    """When, in nanoseconds by the clock of the project's file system."""
    is_whole: bool
    """Whether it looked at all of the project."""

    @classmethod
    def by(
        cls, transfer: PushTransfer, tally: Tally, seconds: float, *, foreign: bool = False
    ) -> Pushed:
        """What a transfer did."""
        is_kept = tally.deleted or tally.replaced or tally.cleared
        backup = f"{STATE}/backup/{transfer.stamp}" if is_kept else ""
        is_whole = transfer.changes is None
        return cls(tally, seconds, backup, foreign, transfer.push.id, transfer.began, is_whole)


def push(server: TargetSession, *, dry_run: bool = False, take_over: bool = False) -> Pushed:
    """Push the project; `take_over` lets it delete what others put there."""
    server.connect()
    with push_lock(server.project):
        return push_locked(server, dry_run=dry_run, take_over=take_over)


def push_locked(
    server: TargetSession, *, dry_run: bool = False, take_over: bool = False, is_usual: bool = True
) -> Pushed:
    """Push while the caller holds the push lock. The target is the usual one from then on, unless
    it `is_usual` no more than others.

    A target that is known takes one rsync over the open connection and nothing else. Where that
    fails to start, the agent makes the target ready, says what is wrong with it, and once more.
    """
    start = time.monotonic()
    transfer = _transfer(server, dry_run=dry_run)
    with finishing(server, dry_run):
        tally, state = None, OURS
        claims = [
            Path(server.target.path) / STATE / name / project_id(server.project) for name in CLAIMS
        ]
        claims.append(Path(server.target.path) / "data")
        is_claimed = not server.target.is_local or all(map(Path.is_dir, claims))
        known = server.facts.ours and is_claimed
        if not dry_run:
            known = known and dict(server.facts.placed_links) == dict(server.settings.links)
        if known and not take_over:
            with contextlib.suppress(rsync.Unready):
                tally = transfer.run(project=project_id(server.project))
        if tally is None:
            answer = server.prepare(take_over=take_over and not dry_run, look=dry_run)
            state = answer.state
            if state == ABSENT:
                tally = transfer.to_nowhere()
            else:
                delete = state == OURS or take_over
                run = functools.partial(transfer.run, delete=delete, fresh=answer.fresh)
                tally = server.transfer(run)
        seconds = time.monotonic() - start
        if not dry_run:
            if is_usual:
                server.project.remember_target(server.target)
            server.remember(pushed=transfer.began)
            outlast(server.project, tally.sent)
    foreign = state == FOREIGN and not take_over
    return Pushed.by(transfer, tally, seconds, foreign=foreign)


def push_changes(server: TargetSession, changes: Changes) -> Pushed | None:
    """Push what was saved since the last push, and look at nothing else; None where a whole push is
    due: the target isn't as that one left it, or rsync can't be told of all other folders.

    Whoever calls sees to it that a file which is saved again within the second is sent (`checksum`).
    """
    start, left = time.monotonic(), changes.untouched(server.project.root)
    if len(left) > MOST_LEFT:
        return None
    server.connect()
    with push_lock(server.project):
        transfer = _transfer(server, changes=changes, left=left)
        with finishing(server, dry_run=False), contextlib.suppress(rsync.Unready):
            tally = transfer.run(project=project_id(server.project))
            return Pushed.by(transfer, tally, time.monotonic() - start)
    return None


def _transfer(
    server: TargetSession,
    *,
    dry_run: bool = False,
    changes: Changes | None = None,
    left: Sequence[str] = (),
) -> PushTransfer:
    """A push that begins now; one of some changes isn't repeated where more are made meanwhile."""
    project, declared = server.project, declared_outputs(server.project.root)
    after = changes.after if changes else ""
    stamp = PushStamp.new(project_id(project), user_and_host(), after)
    # Others may push in the same second: each has a folder of its own for what it replaces.
    folder = f"{time.strftime('%Y%m%d-%H%M%S')}-{stamp.id[-4:]}"
    moved: list[str] = []
    if changes:
        held = undecided_among(server, declared, changes.paths)
    else:
        found = look(project.root, declared, since=server.facts.pushed)
        held, moved = undecided(server, declared, found.likely, dry_run=dry_run), found.moved
    return PushTransfer(
        server,
        folder,
        dry_run,
        declared,
        stamp,
        moment(project),
        [*held, *left, *server.settings.links],
        repeats=0 if changes else REPEATS,
        changes=changes,
        moved=moved,
    )


def say_problems(problems: Sequence[Problem], verb: str) -> None:
    """Name the first of the paths that could not be moved, each with its next step."""
    say_first([f"not {verb}: {problem.text}" for problem in problems], "paths")


def line(server: TargetSession, pushed: Pushed, *, dry_run: bool = False) -> str:
    """What a push did, or would do."""
    files = pushed.files
    parts = [plural(len(files.sent), "file")]
    if not dry_run:
        parts += [size(files.bytes), f"{pushed.seconds:.1f} s"]
    kept = (
        f" (old versions kept on the server in {pushed.backup})"
        if pushed.backup and not dry_run
        else ""
    )
    parts.append(f"{len(files.deleted)} deleted{kept}")
    return f"{'would push' if dry_run else 'pushed'} to {server.target}: {', '.join(parts)}"


@dataclass(frozen=True)
class Pulled:
    """What a pull brought. `backup` is the folder here with what it replaced."""

    files: Tally
    records: Records
    backup: str
    seconds: float
    unpulled: dict[str, str]
    """What jobs that ended since the last pull wrote elsewhere, in words."""
    problems: list[Problem]
    """The paths that could not come. All the rest has."""

    @property
    def is_news(self) -> bool:
        """Whether something came. What can't come is there again at each pull, and no news."""
        return bool(self.files.sent or self.files.cleared or self.records.is_news or self.unpulled)

    @property
    def remarks(self) -> frozenset[Hashable]:
        """What is told beside that: what stayed there, or was refused."""
        files, records, merged = self.files, self.records, self.records.summary
        left = (files.left, files.acting, records.left, records.acting, records.outside)
        refused = (merged.refused, merged.deleted_there, merged.left_out) if merged else ()
        return frozenset(chain(self.problems, *left, *refused, filter(None, [records.moved])))


@dataclass(frozen=True)
class Fetched:
    """What a server has sent: results that are here already, and records that are to be merged."""

    server: TargetSession
    records: FetchedDelta
    files: Tally
    backup: str
    start: float
    only: Sequence[str]


def pull(
    server: TargetSession,
    *,
    dry_run: bool = False,
    registry: bool = False,
    theirs: bool = False,
    only: Sequence[str] = (),
) -> Pulled:
    """Bring back what jobs wrote, of their results `only` what these patterns name; twice changes
    nothing."""
    # Only here: pushes start faster without.
    from remote.operations.tracking.merge_records import merging
    from remote.operations.transfers.pull_backups import new_backup

    server.connect()
    with merging(server.project) as folder:
        fetched = fetch(server, folder, new_backup(), dry_run=dry_run, registry=registry, only=only)
        return merge(fetched, folder, dry_run=dry_run, registry=registry, theirs=theirs)


def fetch(
    server: TargetSession,
    folder: Path,
    backup: str,
    *,
    dry_run: bool,
    registry: bool,
    only: Sequence[str] = (),
) -> Fetched:
    """The first half of a pull: all that waits for the server, but for artifacts.

    `folder` is for what is on its way, `backup` for what is replaced here.
    """
    from remote.operations.tracking.pull_records import ask
    from remote.operations.transfers.pull_backups import PulledFiles
    from remote.operations.transfers.pull_outputs import PulledOutputs

    start, root = time.monotonic(), server.project.root
    declared = declared_outputs(root)
    outputs = PulledOutputs(server, dialect(), root / backup, declared, dry_run, tuple(only))
    # First of all, so that jobs which the agent sees to now have their results brought too.
    asked = ask(
        server, folder, registry=registry, outputs=outputs.paths, marked=outputs.pulled_paths
    )
    files = outputs.bring(asked.answer.outputs, asked.answer.marks, folder)
    files.drop_stayed()
    if not dry_run:
        pulled_files = PulledFiles.of(server)
        pulled_files.drop_unchanged(files, root / backup)
        pulled_files.add(files.sent)
    return Fetched(server, asked, files, backup, start, only)


def merge(fetched: Fetched, folder: Path, *, dry_run: bool, registry: bool, theirs: bool) -> Pulled:
    """The second half: records are merged, and the artifacts come that they name."""
    from remote.operations.tracking.pull_records import merge_all

    server, asked, files = fetched.server, fetched.records, fetched.files
    records = merge_all(server, asked, folder, registry=registry, dry_run=dry_run, theirs=theirs)
    before = set(read_json(server.pulled) or ())
    unpulled = {job: text for job, text in asked.answer.unpulled.items() if job not in before}
    problems = [*files.problems, *records.problems]
    # What didn't come, or can't be read, may be of any job that has ended since.
    missing = [problem for problem in problems if problem.kind != DAMAGED]
    whole = not (missing or records.unreadable or fetched.only)
    if not dry_run:
        # A job's folder may hold the only copy of what was refused.
        held = "\n".join(records.withholding)
        ended = (job for job in asked.answer.ended if whole or job in before)
        write_json(server.pulled, [job for job in ended if f"/{job}/" not in held])
    seconds = time.monotonic() - fetched.start
    return Pulled(files, records, fetched.backup, seconds, unpulled, problems)
