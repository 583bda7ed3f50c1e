"""Push: mirror the project to its target, and hurt nothing there. Pull: results back by rsync, records
back by the merge, then the artifacts it names."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remote.files import SILENT, locked, read_json, user_and_host, write_json
from remote.job.messages.target import ABSENT, FOREIGN, OURS
from remote.job.paths import STATE
from remote.job.tree import PushStamp, waiting_for
from remote.operations.project_outputs import declared_outputs
from remote.output import plural, say, size
from remote.session import TargetSession, project_id
from remote.transport import rsync, rsync_args
from remote.transport.rsync_args import Tally

if TYPE_CHECKING:
    from remote.operations.tracking.merge_records import Records

#: From so many files on it pays to look whether there is anything to push: an rsync that holds
#: its updates back until the end also looks, for each file, whether one was held back before.
MANY = 4000

#: The lock of this project's pushes, below its `.remote`.
PUSH_LOCK = "push.lock"

#: How often a push is repeated because files change meanwhile.
REPEATS = 2

#: Seconds between two looks whether the lock on the tree there is free.
PAUSE = 0.2


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


def push(server: TargetSession, *, dry_run: bool = False, take_over: bool = False) -> Pushed:
    """Push the project; `take_over` lets it delete what others put there."""
    server.connect()
    with push_lock(server):
        return push_locked(server, dry_run=dry_run, take_over=take_over)


def push_lock(server: TargetSession) -> AbstractContextManager[None]:
    """What keeps this project's other pushes waiting."""
    return locked(server.project.state / PUSH_LOCK, "another push of this project")


def push_locked(server: TargetSession, *, dry_run: bool = False, take_over: bool = False) -> Pushed:
    """Push while the caller holds the push lock.

    A target that is known takes one rsync over the open connection and nothing else. Where that
    fails to start, the agent makes the target ready, says what is wrong with it, and once more.
    """
    start = time.monotonic()
    declared = declared_outputs(server.project.root)
    stamp = PushStamp.new(secrets.token_hex(16), user_and_host())
    # Others may push in the same second: each has a folder of its own for what it replaces.
    backup = f"{time.strftime('%Y%m%d-%H%M%S')}-{stamp.id[:4]}"
    mirror = _Mirror(server, backup, dry_run, declared, stamp, _moment(server))
    tally, state = None, OURS
    claim = Path(server.target.path) / STATE / "projects" / project_id(server.project)
    known = server.facts.ours and (not server.target.is_local or claim.is_dir())
    if known and not take_over:
        with contextlib.suppress(rsync.Unready):
            tally = mirror.transfer(project=project_id(server.project))
    if tally is None:
        state = server.prepare(take_over=take_over and not dry_run, look=dry_run).state
        if state == ABSENT:
            tally = mirror.to_nowhere()
        else:
            delete = state == OURS or take_over
            tally = server.transfer(lambda: mirror.transfer(delete=delete))
    seconds = time.monotonic() - start
    if not dry_run:
        server.project.remember_target(server.target)
        _outlast(server.project.root, tally.sent)
    backup = f"{STATE}/backup/{mirror.stamp}" if tally.deleted or tally.replaced else ""
    foreign = state == FOREIGN and not take_over
    return Pushed(tally, seconds, backup, foreign=foreign, id=stamp.id)


@dataclass(frozen=True)
class _Mirror:
    """How one push runs rsync; its backup folder is named `stamp`."""

    server: TargetSession
    stamp: str
    dry_run: bool
    declared: tuple[str, ...]
    push: PushStamp
    began: int
    """When that was, as files here tell it."""

    def transfer(self, *, project: str = "", delete: bool = True) -> Tally:
        """Push; with `project`, only to a target that is that project's own."""
        looks_first = self.dry_run or self.server.facts.files > MANY
        tally = self._rsync(project=project, delete=delete, look=looks_first)
        if tally.anything and not self.dry_run and looks_first:
            tally = self._rsync(project=project, delete=delete, look=False)
        if not self.dry_run:
            self._follow_changes(tally, project=project, delete=delete)
        self.server.remember(files=tally.files)
        processed = (self.server.project.root / "data" / "processed").rglob("*")
        if any(path.name != ".gitkeep" and path.is_file() for path in processed):
            remote, dry_run = self.server.remote, self.dry_run
            argv = rsync_args.processed_argv(remote, project=project, dry_run=dry_run)
            more = self.server.rsync(argv, "pushing data")
            tally.sent += [f"data/processed/{name}" for name in more.sent]
            tally.bytes += more.bytes
        return tally

    def _follow_changes(self, tally: Tally, *, project: str, delete: bool) -> None:
        """Send again what changed here while it was sent: a job would run half of an edit."""
        mirror, sent = self, tally.sent
        for number in range(REPEATS):
            changed = _changed_since(mirror.began, self.server.project.root, sent)
            if not changed:
                return
            say(f"{changed[0]} changed while it was pushed: once more.")
            # With a folder of its own: in the first one is what was there before this push.
            mirror = replace(self, stamp=f"{self.stamp}-{number}", began=_moment(self.server))
            more = mirror._rsync(project=project, delete=delete, look=False)
            tally.add(more)
            sent = more.sent

    def to_nowhere(self) -> Tally:
        """What a first push would send, seen without making anything on the server."""
        with tempfile.TemporaryDirectory() as empty:
            return self._rsync(look=True, delete=False, destination=empty + "/")

    def _rsync(
        self, *, look: bool, delete: bool, project: str = "", destination: str = ""
    ) -> Tally:
        push = None if self.dry_run else self.push
        argv = rsync_args.push_argv(
            self.server.project.root,
            self.server.remote,
            rsync.dialect(),
            project=project,
            stamp=self.stamp,
            delete=delete,
            dry_run=look,
            destination=destination,
            declared=self.declared,
            push=push,
        )
        return _when_free(lambda: self.server.rsync(argv, "pushing", push=push))


def _moment(server: TargetSession) -> int:
    """The time by the clock of the project's file system, in nanoseconds."""
    file = server.project.state / PUSH_LOCK
    os.utime(file)
    return file.stat().st_mtime_ns


def _changed_since(moment: int, root: Path, names: Iterable[str]) -> list[str]:
    """Those of the files that are part of a job's copy of the code and were changed since."""
    changed = []
    for name in names:
        with contextlib.suppress(OSError):
            if not name.startswith("data/") and (root / name).lstat().st_ctime_ns > moment:
                changed.append(name)
    return changed


def _when_free(run: Callable[[], Tally]) -> Tally:
    """Run it once nobody else holds the lock on the tree there; who does is told after a second."""
    start, is_told = time.monotonic(), False
    while True:
        try:
            return run()
        except rsync.Busy as busy:
            if not is_told and time.monotonic() - start > SILENT:
                say(waiting_for(busy.stamp))
                is_told = True
        time.sleep(PAUSE)


def _outlast(root: Path, sent: Iterable[str]) -> None:
    """Wait until the second is over in which a sent file was written, one second at most.

    rsync takes files of the same size and second for the same: an edit that follows at once, by a
    script, would stay here.
    """
    now, newest = time.time(), 0.0
    for name in sent:
        with contextlib.suppress(OSError):
            written = (root / name).lstat().st_mtime
            newest = max(newest, written if written <= now else 0.0)
    time.sleep(max(0.0, int(newest) + 1 - now))


def line(server: TargetSession, pushed: Pushed, *, dry_run: bool = False) -> str:
    """What a push did, or would do."""
    files = pushed.files
    parts = [plural(len(files.sent), "file")]
    if not dry_run:
        parts += [size(files.bytes), f"{pushed.seconds:.1f} s"]
    kept = f" (old versions kept there in {pushed.backup})" if pushed.backup and not dry_run else ""
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


def pull(server: TargetSession, *, dry_run: bool = False, registry: bool = False) -> Pulled:
    """Bring back what jobs wrote; twice changes nothing."""
    # Only here: pushes start faster without.
    from remote.operations.tracking.merge_records import merging
    from remote.operations.tracking.pull_records import ask, merge_all

    start, dialect = time.monotonic(), rsync.dialect()
    declared = declared_outputs(server.project.root)
    backup = f"{STATE}/backup/pull-{time.strftime('%Y%m%d-%H%M%S')}"
    kept = server.project.root / backup

    def bring() -> Tally:
        argv = rsync_args.pull_argv(
            server.remote, dialect, backup=kept, dry_run=dry_run, declared=declared
        )
        return server.rsync(argv, "pulling")

    server.connect()
    with merging(server.project) as folder:
        # First of all, so that jobs which the agent sees to now have their results brought too.
        asked = ask(server, folder, registry=registry)
        files = server.transfer(bring)
        records = merge_all(server, asked, folder, registry=registry, dry_run=dry_run)
        before = set(read_json(server.pulled) or ())
        unpulled = {job: text for job, text in asked.answer.unpulled.items() if job not in before}
        if not dry_run:
            write_json(server.pulled, asked.answer.ended)
    return Pulled(files, records, backup, time.monotonic() - start, unpulled)
