"""Push: mirror the project to its target, and hurt nothing there."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from remote.errors import TransferError
from remote.files import locked
from remote.job.messages.target import ABSENT, FOREIGN, OURS
from remote.job.paths import STATE
from remote.session import TargetSession, project_id
from remote.transport import rsync, rsync_args
from remote.transport.rsync import Unready
from remote.transport.rsync_args import Dialect, Tally

#: From so many files on it pays to look whether there is anything to push: an rsync that holds
#: its updates back until the end also looks, for each file, whether one was held back before.
MANY = 4000


@dataclass(frozen=True)
class Pushed:
    """What a push did. `backup` is the folder on the server with what it replaced or deleted.

    `foreign` says that files were there that this project never pushed, so nothing was deleted.
    """

    sent: tuple[str, ...]
    deleted: tuple[str, ...]
    bytes: int
    seconds: float
    backup: str
    foreign: bool


def push(server: TargetSession, *, dry_run: bool = False, take_over: bool = False) -> Pushed:
    """Push the project; `take_over` lets it delete what others put there.

    A target that is known takes one rsync over the open connection and nothing else. Where that
    fails to start, the agent makes the target ready, says what is wrong with it, and once more.
    """
    start = time.monotonic()
    dialect = rsync.dialect()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    server.connect()
    with locked(server.project.state / "push.lock"):
        pushed = None
        if _is_known(server) and not take_over:
            with contextlib.suppress(Unready):
                tally = _transfer(server, dialect, stamp, dry_run=dry_run)
                pushed = _pushed(tally, start, stamp, foreign=False)
        if pushed is None:
            pushed = _prepared(server, dialect, start, stamp, dry_run, take_over)
        if not dry_run:
            server.project.remember_target(server.target)
            _outlast(server.project.root, pushed.sent)
        return pushed


def _outlast(root: Path, sent: Iterable[str]) -> None:
    """Wait until the second is over in which a sent file was written, one second at most.

    rsync takes files of the same size and second for the same: an edit that follows at once, by a
    script, would stay here.
    """
    now = time.time()
    times = (_written(root / name) for name in sent)
    newest = max((written for written in times if written <= now), default=0.0)
    time.sleep(max(0.0, int(newest) + 1 - now))


def _written(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _is_known(server: TargetSession) -> bool:
    if not server.facts.ours:
        return False
    claim = Path(STATE) / "projects" / project_id(server.project)
    return not server.target.is_local or (Path(server.target.path) / claim).is_dir()


def _prepared(
    server: TargetSession,
    dialect: Dialect,
    start: float,
    stamp: str,
    dry_run: bool,
    take_over: bool,
) -> Pushed:
    state = server.prepare(take_over=take_over and not dry_run, look=dry_run).state
    try:
        if state == ABSENT:
            tally = _to_nowhere(server, dialect, stamp)
        else:
            deletes = state == OURS or take_over
            tally = _transfer(
                server, dialect, stamp, dry_run=dry_run, delete=deletes, claimed=False
            )
    except Unready as error:
        raise TransferError(f"rsync did not start on {server.target}: {error}") from None
    return _pushed(tally, start, stamp, foreign=state == FOREIGN and not take_over)


def _transfer(
    server: TargetSession,
    dialect: Dialect,
    stamp: str,
    *,
    dry_run: bool,
    delete: bool = True,
    claimed: bool = True,
) -> Tally:
    root = server.project.root
    project = project_id(server.project) if claimed else ""

    def mirror(*, look: bool) -> Tally:
        argv = rsync_args.push_argv(
            root,
            server.remote,
            dialect,
            project=project,
            stamp=stamp,
            delete=delete,
            dry_run=look,
        )
        return rsync.run(argv, server.remote, cwd=root, title="pushing", dialect=dialect)

    looks_first = dry_run or server.facts.files > MANY
    tally = mirror(look=looks_first)
    if tally.anything and not dry_run and looks_first:
        tally = mirror(look=False)
    server.remember(files=tally.files)
    if _has_files(root / "data" / "processed"):
        argv = rsync_args.processed_argv(server.remote, project=project, dry_run=dry_run)
        more = rsync.run(argv, server.remote, cwd=root, title="pushing data", dialect=dialect)
        tally.sent += [f"data/processed/{name}" for name in more.sent]
        tally.bytes += more.bytes
    return tally


def _has_files(folder: Path) -> bool:
    return any(path.name != ".gitkeep" and path.is_file() for path in folder.rglob("*"))


def _to_nowhere(server: TargetSession, dialect: Dialect, stamp: str) -> Tally:
    """What a first push would send, seen without making anything on the server."""
    root = server.project.root
    with tempfile.TemporaryDirectory() as empty:
        argv = rsync_args.push_argv(
            root,
            server.remote,
            dialect,
            project="",
            stamp=stamp,
            delete=False,
            dry_run=True,
            destination=empty + "/",
        )
        return rsync.run(argv, server.remote, cwd=root, title="looking", dialect=dialect)


def _pushed(tally: Tally, start: float, stamp: str, *, foreign: bool) -> Pushed:
    kept = tally.deleted or tally.replaced
    return Pushed(
        sent=tuple(tally.sent),
        deleted=tuple(tally.deleted),
        bytes=tally.bytes,
        seconds=time.monotonic() - start,
        backup=f"{STATE}/backup/{stamp}" if kept else "",
        foreign=foreign,
    )
