"""How one push runs rsync: the tree, what links lead to, and what has to be sent once more."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from remote.errors import TargetError
from remote.job import outputs
from remote.job.messages.target import ClearRequest
from remote.job.paths import STATE
from remote.job.tree import PushStamp
from remote.operations.transfers import linked_folders
from remote.operations.transfers.changes import Changes
from remote.operations.transfers.push_guard import (
    MANY,
    changed_since,
    is_unchanged,
    moment,
    when_free,
)
from remote.operations.transfers.room import LargePush, Scales, ask_for_room, fits_whole
from remote.output import say
from remote.session import TargetSession, project_id
from remote.transport import rsync, rsync_args
from remote.transport.rsync_dialect import dialect
from remote.transport.rsync_problems import UNREADABLE, Problem
from remote.transport.rsync_tally import Tally

#: Rules that fit into a command line: a Mac takes a megabyte.
MOST_LEFT = 4000

#: How often a push is repeated because files change meanwhile.
REPEATS = 2

#: Seconds within which rsync finds that there is nothing to send, where the server is near: far away,
#: its five round trips alone take longer.
INSTANT = 0.2


@dataclass(frozen=True)
class PushTransfer:
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
    changes: Changes | None = None
    """What is pushed; None is all."""
    moved: Sequence[str] = ()
    """What rsync may take for what was sent before, though it is another."""

    def run(self, *, project: str = "", delete: bool = True, fresh: bool = False) -> Tally:
        """Push; with `project`, only to a target that is that project's own; a `fresh` one holds
        nothing yet."""
        data = Tally()
        if self._concerns("data") and self._follows_links():
            argv = functools.partial(self._argv, project=project, delete=False, data=True)
            data = self._whole(functools.partial(self._send, argv, "pushing data"))
            self.apart.append("data")
        tally = self._send_tree(project=project, delete=delete, fresh=fresh)
        if self.moved and not fresh:
            more = self._compare(project=project, delete=delete)
            # Of a dry run, both tell what would go.
            problems = dict.fromkeys([*tally.problems, *more.problems])
            deleted = dict.fromkeys([*tally.deleted, *more.deleted])
            tally = replace(tally.then(more), problems=list(problems), deleted=list(deleted))
        tally.add(data, ".")
        processed = (self.server.project.root / "data" / "processed").rglob("*")
        is_processed = (path.name != ".gitkeep" and path.is_file() for path in processed)
        if self._concerns("data/processed") and any(is_processed):
            argv = functools.partial(self._processed_argv, project=project)
            tally.add(self._send(argv, "pushing data"), ".")
        tally.problems += self.left.values()
        tally.drop_stayed()
        return tally

    def _compare(self, *, project: str, delete: bool) -> Tally:
        """Compare the contents of what was moved, and of what lies beside it, and send what differs."""
        changes = Changes(frozenset(self.moved), self.push.id, checksum=True)
        folders = changes.untouched(self.server.project.root)
        # Where there are too many to name, all but data is compared.
        beside = folders if len(folders) <= MOST_LEFT else ["data"]
        again = replace(self, held=[*self.held, *beside], changes=changes, moved=(), repeats=0)
        return again._send_tree(project=project, delete=delete)

    def _concerns(self, folder: str) -> bool:
        return self.changes is None or self.changes.touch(folder)

    def _follows_links(self) -> bool:
        """Whether links lead out of `data` that are followed; what isn't is a problem."""
        follow, problems = linked_folders.to_push(self.server.project.root, self.declared)
        self.left.update((problem.path, problem) for problem in problems)
        return bool(follow)

    def _send_tree(self, *, project: str, delete: bool, fresh: bool = False) -> Tally:
        """Send the tree, and once more what changed here while it was sent: a job would run half of
        an edit."""
        argv = functools.partial(self._argv, project=project, delete=delete, fresh=fresh)
        left = (STATE, ".git", *outputs.paths(self.declared))
        fits = functools.partial(fits_whole, self.server, left)
        send = functools.partial(
            self._send,
            argv,
            "pushing",
            looks_first=self._looks_first(left),
            fits=fits,
            push=self.push,
        )
        self._drop_links()
        start = time.monotonic()
        tally = self._whole(send)
        if not (self.dry_run or self.changes or tally.anything):
            instant = time.monotonic() - start < INSTANT
            self.server.remember(near=instant or tally.files > MANY)
        self._remember_links(tally)
        changed = changed_since(self.began, self.server.project.root, tally.sent)
        if not changed or self.dry_run or self.repeats == 0:
            return tally
        say(f"{changed[0]} changed while it was pushed: pushing again.")
        # With a folder of its own: in the first one is what was there before this push.
        again = replace(
            self,
            stamp=f"{self.stamp}-{self.repeats}",
            began=moment(self.server.project),
            repeats=self.repeats - 1,
        )
        return tally.then(again._send_tree(project=project, delete=delete))

    def _looks_first(self, left: Collection[str]) -> bool:
        """A look spares round trips, where they take time, and there is nothing to send."""
        facts = self.server.facts
        if self.changes or facts.near:
            return False
        return is_unchanged(self.server.project.root, facts.pushed, left)

    def _send(
        self,
        argv: Callable[..., list[str]],
        title: str,
        *,
        looks_first: bool = False,
        fits: Callable[[], bool] = lambda: False,
        push: PushStamp | None = None,
    ) -> Tally:
        """Run one rsync where that sends little, or all `fits`; else one that looks, and once there
        is room another. One that looks takes two round trips less, and often there is no more to do.

        `argv` takes `look`, and whether temporary files may lie `apart` from where they go.
        """
        held = None if self.dry_run else push

        def run(words: list[str], watch: Callable[[Tally], None] | None = None) -> Tally:
            send = functools.partial(self.server.rsync, words, title, partly=True)
            return when_free(self.server, lambda: send(watch=watch, push=held))

        if not self.dry_run and not looks_first:
            scales = Scales(self.server.project.root, fits)
            with contextlib.suppress(LargePush):
                return run(argv(), scales.weigh)
        tally = run(argv(look=True))
        if self.dry_run or not tally.anything:
            return tally
        apart = ask_for_room(self.server, tally.sent)
        return run(argv(apart=apart))

    def to_nowhere(self) -> Tally:
        """What a first push would send, and leave, seen without making anything on the server."""
        self._follows_links()
        with tempfile.TemporaryDirectory() as empty:
            argv = self._argv(look=True, delete=False, destination=empty + "/")
            tally = self.server.rsync(argv, "pushing", partly=True)
        tally.problems += self.left.values()
        tally.drop_stayed()
        return tally

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
        fresh: bool = False,
    ) -> list[str]:
        return rsync_args.push_argv(
            self.server.project.root,
            self.server.remote,
            dialect(),
            project=project,
            stamp=self.stamp,
            delete=delete,
            dry_run=look,
            fresh=fresh,
            destination=destination,
            declared=self.declared,
            left=[*self.left, *self.held, *([] if data else self.apart)],
            data=data,
            list_links=self.server.facts.links is None,
            partial=self._unfinished(apart=apart),
            push=None if self.dry_run or data else self.push,
            checksum=bool(self.changes and self.changes.checksum),
        )

    def _processed_argv(self, *, project: str, look: bool = False, apart: bool = True) -> list[str]:
        return rsync_args.processed_argv(
            self.server.project.root,
            self.server.remote,
            dialect(),
            project=project,
            dry_run=look,
            declared=self.declared,
            left=[*self.left, *self.held],
            partial=self._unfinished(apart=apart),
        )

    def _unfinished(self, *, apart: bool) -> list[str]:
        copy = project_id(self.server.project)
        return rsync_args.unfinished(dialect(), copy, apart=apart)


def is_folder(path: Path) -> bool:
    """Whether it is a folder, and no link to one."""
    return path.is_dir() and not path.is_symlink()
