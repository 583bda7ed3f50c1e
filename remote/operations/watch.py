"""What is saved here is pushed at once, until Ctrl-C; what a push leaves here wakes nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from remote.errors import ConfigError, RemoteError
from remote.operations.git import repositories
from remote.operations.retries import Retries
from remote.operations.sync import Pushed, push, push_changes
from remote.operations.transfers.changes import Changes
from remote.operations.transfers.push_guard import is_data
from remote.operations.transfers.sent_paths import ROOT, RULES, SentPaths
from remote.output import say
from remote.session import TargetSession

#: Milliseconds without a change after which a burst is over, for which one is collected at most, and
#: after which an empty set of changes comes.
STEP, LONGEST, TICK = 25, 500, 200

#: Seconds for which git is waited for while it changes files: an editor that asks for a commit's
#: message may hold its lock for hours.
GIT_PATIENCE = 5.0

#: So many changes of what is pushed are taken for a whole push.
MANY = 2000

#: Of so many at once, the system may have dropped some: Linux holds 16384 events (inotify(7)), and a
#: file that is written has four.
FLOOD = 4000

#: In nanoseconds.
SECOND = 10**9


def watch(
    session: Callable[[], TargetSession], tell: Callable[[TargetSession, Pushed], None]
) -> None:
    """Push all, then what is saved. `session` is asked for each push, so that it heeds what has become
    of the settings; `tell` says what one did.

    Where the first push fails, RemoteError is raised; a later one is tried again. Only Ctrl-C ends it.
    """
    project = session().project
    watcher, git = Watcher(project.root, session, tell), _git_lock(project.root)
    for paths in _changes(project.root):
        if not watcher.last:
            watcher.begin()
        watcher.take(paths)
        if not _is_fresh(git):
            watcher.push_if_due()


def _changes(root: Path) -> Iterator[set[str]]:
    """The paths below `root` at which something changed, also none where nothing has for a while."""
    try:
        import watchfiles
    except ImportError:
        raise ConfigError(
            "inv watch needs watchfiles, which is not installed.",
            "Install it: uv pip install watchfiles",
        ) from None
    missed, resumed = set[str](), threading.Event()
    # While it is stopped (Ctrl-Z), nobody takes what the system has to tell.
    signal.signal(signal.SIGCONT, lambda *_: resumed.set())
    while True:
        batches = watchfiles.watch(
            root,
            watch_filter=None,
            step=STEP,
            debounce=LONGEST,
            rust_timeout=TICK,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        try:
            for batch in batches:
                yield {os.path.relpath(path, root) for _, path in batch} | missed
                # What didn't fit was dropped, and of a folder that was made then nothing is told.
                missed = {ROOT} if len(batch) > FLOOD or resumed.is_set() else set()
                if missed:
                    resumed.clear()
                    break
        except OSError as error:
            raise ConfigError(
                f"The project's folders can't be watched: {error}.",
                "On Linux, raise the limit: sudo sysctl fs.inotify.max_user_watches=524288",
            ) from None
        except RuntimeError:
            # It ends at a name that is no UTF-8.
            missed = {ROOT}


def _git_lock(root: Path) -> Path | None:
    """What git holds while it changes files of the project."""
    nearest = next(repositories(root), None)
    if nearest is None:
        return None
    folder = nearest / ".git"
    if folder.is_file():
        # Of a worktree or a submodule: the file tells where its folder is (gitrepository-layout(5)).
        with contextlib.suppress(OSError):
            text = os.fsdecode(folder.read_bytes()).partition("gitdir: ")[2]
            folder = folder.parent / text.rstrip("\n")
    return folder / "index.lock"


def _is_fresh(lock: Path | None) -> bool:
    with contextlib.suppress(OSError):
        return lock is not None and time.time() - lock.stat().st_mtime < GIT_PATIENCE
    return False


@dataclass
class Watcher:
    """What was saved and isn't pushed yet, and what became of the last push."""

    root: Path
    session: Callable[[], TargetSession]
    tell: Callable[[TargetSession, Pushed], None]
    saved: set[str] = field(default_factory=set)
    last: Pushed | None = None
    seconds: range = range(0)
    """Those in which the last push looked at files, by the clock of their file system."""
    retries: Retries = field(default_factory=Retries)

    def __post_init__(self) -> None:
        self.paths = SentPaths(self.root)

    def begin(self) -> None:
        """The first push, which is of all."""
        server, pushed = self._push()
        self.tell(server, pushed)
        say(f"Watching {self.root}. Ctrl-C ends it.")

    def take(self, paths: set[str]) -> None:
        """Note what changed, but for what no push sends."""
        try:
            self.saved |= self.paths.of(paths)
        except RemoteError:
            # The push will say it.
            self.saved |= paths

    def push_if_due(self) -> None:
        """Push what was saved; or all, where a push failed and may succeed now."""
        # What is wrong with a file is mended by saving it.
        if not (self.retries.is_due or self.saved and not self.retries.is_waiting):
            return
        try:
            server, pushed = self._push()
        except RemoteError as error:
            # The next push is of all.
            self.saved.clear()
            self.retries.postpone(error)
            return
        if pushed.files.is_news:
            self.tell(server, pushed)
        self.retries.end(f"{server.target} has the same files again.")

    def _push(self) -> tuple[TargetSession, Pushed]:
        start, server = time.monotonic(), self.session()
        pushed = self._push_saved(server) or push(server)
        if pushed.is_whole:
            # The rules may be others since.
            self.paths = SentPaths(self.root)
        if not pushed.files.is_news:
            self.paths.ask(self.saved)
        end = pushed.began + int((time.monotonic() - start) * SECOND)
        self.seconds = range(pushed.began // SECOND, end // SECOND + 1)
        self.last = pushed
        self.saved.clear()
        return server, pushed

    def _push_saved(self, server: TargetSession) -> Pushed | None:
        """Push what was saved; None where something else may have changed."""
        if not self.last or self.retries.failure or self.saved & RULES or len(self.saved) > MANY:
            return None
        checksum = any(map(self._may_look_sent, self.saved))
        return push_changes(server, Changes(frozenset(self.saved), self.last.id, checksum))

    def _may_look_sent(self, path: str) -> bool:
        """Whether rsync could take a file for the one that was sent: it was written in a second of the
        last push, or before and renamed since. To compare data takes too long for the latter."""
        second = _second(self.root / path)
        return second in self.seconds or 0 <= second < self.seconds.start and not is_data(path)


def _second(path: Path) -> int:
    """That in which a file was written last, -1 where there is none."""
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime_ns // SECOND
    return -1
