"""Push: mirror the project to its target, and hurt nothing there. Pull: results back by rsync, records
back by the merge, then the artifacts it names."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from remote.errors import RemoteError
from remote.files import locked, read_json, write_json
from remote.job.messages.target import ABSENT, FOREIGN, OURS
from remote.job.paths import CLAIMS, STATE
from remote.operations.project_outputs import declared_outputs
from remote.operations.room import LargePush, Scales, ask_for_room, clear_unfinished
from remote.output import plural, say, size
from remote.session import TargetSession, project_id
from remote.transport import rsync, rsync_args
from remote.transport.rsync_args import Tally

if TYPE_CHECKING:
    from remote.operations.tracking.merge_records import Records

#: From so many files on it pays to look whether there is anything to push: an rsync that holds
#: its updates back until the end also looks, for each file, whether one was held back before.
MANY = 4000


@dataclass(frozen=True)
class Pushed:
    """What a push did. `backup` is the folder on the server with what it replaced or deleted.

    `foreign` says that files were there that this project never pushed, so nothing was deleted.
    """

    files: Tally
    seconds: float
    backup: str
    foreign: bool


def push(server: TargetSession, *, dry_run: bool = False, take_over: bool = False) -> Pushed:
    """Push the project; `take_over` lets it delete what others put there.

    A target that is known takes one rsync over the open connection and nothing else. Where that
    fails to start, the agent makes the target ready, says what is wrong with it, and once more.
    """
    start = time.monotonic()
    declared = declared_outputs(server.project.root)
    mirror = _Mirror(server, time.strftime("%Y%m%d-%H%M%S"), dry_run, declared)
    server.connect()
    with locked(server.project.state / "push.lock"), _finishing(server, dry_run):
        tally, state = None, OURS
        claims = [
            Path(server.target.path) / STATE / name / project_id(server.project) for name in CLAIMS
        ]
        is_claimed = not server.target.is_local or all(map(Path.is_dir, claims))
        known = server.facts.ours and is_claimed
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
    return Pushed(tally, seconds, backup, foreign=state == FOREIGN and not take_over)


@dataclass(frozen=True)
class _Mirror:
    """How one push runs rsync; its backup folder is named `stamp`."""

    server: TargetSession
    stamp: str
    dry_run: bool
    declared: tuple[str, ...]

    def transfer(self, *, project: str = "", delete: bool = True) -> Tally:
        """Push; with `project`, only to a target that is that project's own."""
        argv = functools.partial(self._argv, project=project, delete=delete)
        tally = self._send(argv, "pushing", looks_first=self.server.facts.files > MANY)
        self.server.remember(files=tally.files)
        processed = (self.server.project.root / "data" / "processed").rglob("*")
        if any(path.name != ".gitkeep" and path.is_file() for path in processed):
            argv = functools.partial(self._processed_argv, project=project)
            more = self._send(argv, "pushing data", folder="data/processed/")
            tally.sent += [f"data/processed/{name}" for name in more.sent]
            tally.bytes += more.bytes
        return tally

    def _send(
        self,
        argv: Callable[..., list[str]],
        title: str,
        *,
        folder: str = "",
        looks_first: bool = False,
    ) -> Tally:
        """Run one rsync where that sends little; else one that looks, and once there is room another.

        `argv` takes `look`, and whether temporary files may lie `apart` from where they go.
        """
        if not self.dry_run and not looks_first:
            scales = Scales(self.server.project.root / folder)
            with contextlib.suppress(LargePush):
                return self.server.rsync(argv(), title, watch=scales.weigh)
        tally = self.server.rsync(argv(look=True), title)
        if self.dry_run or not tally.anything:
            return tally
        apart = ask_for_room(self.server, [folder + name for name in tally.sent])
        return self.server.rsync(argv(apart=apart), title)

    def to_nowhere(self) -> Tally:
        """What a first push would send, seen without making anything on the server."""
        with tempfile.TemporaryDirectory() as empty:
            argv = self._argv(look=True, delete=False, destination=empty + "/")
            return self.server.rsync(argv, "pushing")

    def _argv(
        self,
        *,
        delete: bool,
        project: str = "",
        destination: str = "",
        look: bool = False,
        apart: bool = True,
    ) -> list[str]:
        return rsync_args.push_argv(
            self.server.project.root,
            self.server.remote,
            rsync.dialect(),
            project=project,
            stamp=self.stamp,
            delete=delete,
            dry_run=look,
            destination=destination,
            declared=self.declared,
            partial=self._unfinished(apart=apart),
        )

    def _processed_argv(self, *, project: str, look: bool = False, apart: bool = True) -> list[str]:
        # Its paths count from that folder, so `.remote` can't be named.
        partial = self._unfinished(apart=False)
        return rsync_args.processed_argv(
            self.server.remote, project=project, dry_run=look, partial=partial
        )

    def _unfinished(self, *, apart: bool) -> list[str]:
        copy = project_id(self.server.project)
        return rsync_args.unfinished(rsync.dialect(), copy, apart=apart)


@contextlib.contextmanager
def _finishing(server: TargetSession, dry_run: bool) -> Iterator[None]:
    """Note that a push goes on, and clear what it or one before it has left for nobody."""
    was_cut = server.facts.cut
    if not dry_run:
        server.remember(cut=True)
    try:
        yield
    except rsync.FullDisk:
        # Others on that disk need the room more than a next push needs what came of this one.
        with contextlib.suppress(RemoteError):
            clear_unfinished(server)
        raise
    if not dry_run:
        if was_cut:
            clear_unfinished(server)
        server.remember(cut=False)


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


def push_and_tell(server: TargetSession) -> None:
    """Push as a step of another command, and say what that did."""
    say(line(server, push(server)))


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
