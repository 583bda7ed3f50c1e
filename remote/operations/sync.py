"""Push: mirror the project to its target, and hurt nothing there. Pull: results back by rsync, records
back by the merge, then the artifacts it names."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from remote.errors import RemoteError, TargetError
from remote.files import read_json, user_and_host, write_json
from remote.job.messages.target import ABSENT, FOREIGN, OURS, ClearRequest
from remote.job.paths import CLAIMS, STATE
from remote.job.tree import PushStamp
from remote.operations import linked_folders
from remote.operations.project_outputs import declared_outputs
from remote.operations.push_guard import changed_since, moment, push_lock, when_free
from remote.operations.room import (
    LargePush,
    Scales,
    ask_for_room,
    clear_unfinished,
)
from remote.operations.undecided import undecided
from remote.output import plural, say, say_first, size
from remote.session import TargetSession, project_id
from remote.transport import rsync, rsync_args
from remote.transport.rsync_problems import UNREADABLE, Problem
from remote.transport.rsync_tally import Tally

if TYPE_CHECKING:
    from remote.operations.tracking.merge_records import Records

#: From so many files on it pays to look whether there is anything to push: an rsync that holds
#: its updates back until the end also looks, for each file, whether one was held back before.
MANY = 4000

#: How often a push is repeated because files change meanwhile.
REPEATS = 2


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
    with push_lock(server.project):
        return push_locked(server, dry_run=dry_run, take_over=take_over)


def push_locked(server: TargetSession, *, dry_run: bool = False, take_over: bool = False) -> Pushed:
    """Push while the caller holds the push lock.

    A target that is known takes one rsync over the open connection and nothing else. Where that
    fails to start, the agent makes the target ready, says what is wrong with it, and once more.
    """
    start = time.monotonic()
    declared = declared_outputs(server.project.root)
    stamp = PushStamp.new(project_id(server.project), user_and_host())
    # Others may push in the same second: each has a folder of its own for what it replaces.
    folder = f"{time.strftime('%Y%m%d-%H%M%S')}-{stamp.id[-4:]}"
    held = undecided(server, declared, dry_run=dry_run)
    mirror = _Mirror(server, folder, dry_run, declared, stamp, moment(server.project), held)
    with _finishing(server, dry_run):
        tally, state = None, OURS
        claims = [
            Path(server.target.path) / STATE / name / project_id(server.project) for name in CLAIMS
        ]
        claims.append(Path(server.target.path) / "data")
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
    backup = (
        f"{STATE}/backup/{mirror.stamp}" if tally.deleted or tally.replaced or tally.cleared else ""
    )
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
    """When, by the clock of the project's file system."""
    held: Sequence[str] = ()
    """What isn't sent until the user decides about it."""
    repeats: int = REPEATS
    left: dict[str, Problem] = field(default_factory=dict)
    """What can't be read here, so that the server keeps what it has of it."""
    apart: list[str] = field(default_factory=list)
    """What has been sent by a transfer of its own."""

    def transfer(self, *, project: str = "", delete: bool = True) -> Tally:
        """Push; with `project`, only to a target that is that project's own."""
        follow, problems = linked_folders.to_push(self.server.project.root, self.declared)
        self.left.update((problem.path, problem) for problem in problems)
        data = Tally()
        if follow:
            argv = functools.partial(self._argv, project=project, delete=False, data=True)
            data = self._whole(functools.partial(self._send, argv, "pushing data"))
            self.apart.append("data")
        tally = self._mirror(project=project, delete=delete)
        tally.add(data, ".")
        self.server.remember(files=tally.files + data.files)
        processed = (self.server.project.root / "data" / "processed").rglob("*")
        if any(path.name != ".gitkeep" and path.is_file() for path in processed):
            argv = functools.partial(self._processed_argv, project=project)
            tally.add(self._send(argv, "pushing data"), ".")
        tally.problems += self.left.values()
        return tally

    def _mirror(self, *, project: str, delete: bool) -> Tally:
        """Send the tree, and once more what changed here while it was sent: a job would run half of
        an edit."""
        argv = functools.partial(self._argv, project=project, delete=delete)
        looks_first = self.server.facts.files > MANY
        send = functools.partial(
            self._send, argv, "pushing", looks_first=looks_first, push=self.push
        )
        self._drop_links()
        tally = self._whole(send)
        self._remember_links(tally)
        changed = changed_since(self.began, self.server.project.root, tally.sent)
        if not changed or self.dry_run or self.repeats == 0:
            return tally
        say(f"{changed[0]} changed while it was pushed: once more.")
        # With a folder of its own: in the first one is what was there before this push.
        again = replace(
            self,
            stamp=f"{self.stamp}-{self.repeats}",
            began=moment(self.server.project),
            repeats=self.repeats - 1,
        )
        return tally.then(again._mirror(project=project, delete=delete))

    def _send(
        self,
        argv: Callable[..., list[str]],
        title: str,
        *,
        looks_first: bool = False,
        push: PushStamp | None = None,
    ) -> Tally:
        """Run one rsync where that sends little; else one that looks, and once there is room another.

        `argv` takes `look`, and whether temporary files may lie `apart` from where they go.
        """
        held = None if self.dry_run else push

        def run(words: list[str], watch: Callable[[Tally], None] | None = None) -> Tally:
            send = functools.partial(self.server.rsync, words, title, partly=True)
            return when_free(self.server, lambda: send(watch=watch, push=held))

        if not self.dry_run and not looks_first:
            scales = Scales(self.server.project.root)
            with contextlib.suppress(LargePush):
                return run(argv(), scales.weigh)
        tally = run(argv(look=True))
        if self.dry_run or not tally.anything:
            return tally
        apart = ask_for_room(self.server, tally.sent)
        return run(argv(apart=apart))

    def to_nowhere(self) -> Tally:
        """What a first push would send, seen without making anything on the server."""
        with tempfile.TemporaryDirectory() as empty:
            argv = self._argv(look=True, delete=False, destination=empty + "/")
            return self.server.rsync(argv, "pushing")

    def _whole(self, send: Callable[[], Tally]) -> Tally:
        """Send all that can be moved: what stands in the way there goes into the backup first.

        Where rsync can't read something, it deletes nothing; left out, that stays as it is there.
        """
        tally = send() if self.dry_run else rsync.run_clearing(send, self._clear)
        unreadable = {
            problem.path: problem
            for problem in tally.problems
            if problem.kind == UNREADABLE and problem.path and not problem.there
        }
        if not unreadable:
            return tally
        self.left.update(unreadable)
        return send() if self.dry_run else tally.then(send())

    def _drop_links(self) -> None:
        """Take away what this project pushed as a link and is a folder here now.

        A push follows links to folders, which it would take for one that leads to another disk.
        """
        root = self.server.project.root
        folders = [name for name in self.server.facts.links or () if is_folder(root / name)]
        if folders and not self.dry_run:
            # A target that has gone has no links either.
            with contextlib.suppress(TargetError):
                self._clear(folders, links=True)

    def _remember_links(self, tally: Tally) -> None:
        root, links = self.server.project.root, self.server.facts.links
        if not self.dry_run:
            sent = linked_folders.names_of(root, tally.links)
            known = {name for name in (*(links or ()), *sent) if not is_folder(root / name)}
            self.server.remember(links=tuple(sorted(known)))

    def _clear(self, paths: Sequence[str], *, links: bool = False) -> None:
        key, backup = self.server.key, self.stamp
        self.server.agent.call(
            ClearRequest(key=key, paths=tuple(paths), backup=backup, links=links)
        )

    def _argv(
        self,
        *,
        delete: bool,
        project: str = "",
        destination: str = "",
        look: bool = False,
        apart: bool = True,
        data: bool = False,
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
            left=[*self.left, *self.held, *([] if data else self.apart)],
            data=data,
            list_links=self.server.facts.links is None,
            partial=self._unfinished(apart=apart),
            push=None if self.dry_run or data else self.push,
        )

    def _processed_argv(self, *, project: str, look: bool = False, apart: bool = True) -> list[str]:
        return rsync_args.processed_argv(
            self.server.project.root,
            self.server.remote,
            project=project,
            dry_run=look,
            declared=self.declared,
            left=[*self.left, *self.held],
            partial=self._unfinished(apart=apart),
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


def is_folder(path: Path) -> bool:
    """Whether it is a folder, and no link to one."""
    return path.is_dir() and not path.is_symlink()


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


def say_problems(problems: Sequence[Problem], verb: str) -> None:
    """Name the first of the paths that could not be moved, each with its next step."""
    say_first([f"not {verb}: {problem.text}" for problem in problems], "paths")


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
    problems: list[Problem]
    """The paths that could not come. All the rest has."""


def pull(
    server: TargetSession, *, dry_run: bool = False, registry: bool = False, theirs: bool = False
) -> Pulled:
    """Bring back what jobs wrote; twice changes nothing."""
    # Only here: pushes start faster without.
    from remote.operations.pull_backups import PulledFiles, new_backup
    from remote.operations.pull_outputs import PulledOutputs
    from remote.operations.tracking.merge_records import merging
    from remote.operations.tracking.pull_records import ask, merge_all

    start, dialect = time.monotonic(), rsync.dialect()
    declared = declared_outputs(server.project.root)
    backup = new_backup()
    kept = server.project.root / backup
    outputs = PulledOutputs(server, dialect, kept, declared, dry_run)
    server.connect()
    with merging(server.project) as folder:
        # First of all, so that jobs which the agent sees to now have their results brought too.
        asked = ask(server, folder, registry=registry, outputs=outputs.paths)
        files = outputs.bring(asked.answer.outputs, folder)
        if not dry_run:
            pulled_files = PulledFiles.of(server)
            pulled_files.drop_unchanged(files, kept)
            pulled_files.add(files.sent)
        records = merge_all(
            server, asked, folder, registry=registry, dry_run=dry_run, theirs=theirs
        )
        before = set(read_json(server.pulled) or ())
        unpulled = {job: text for job, text in asked.answer.unpulled.items() if job not in before}
        problems = [*files.problems, *records.problems]
        # What didn't come, or can't be read, may be of any job that has ended since.
        whole = not problems and not records.unreadable
        if not dry_run:
            ended = (job for job in asked.answer.ended if whole or job in before)
            write_json(server.pulled, list(ended))
    return Pulled(files, records, backup, time.monotonic() - start, unpulled, problems)
