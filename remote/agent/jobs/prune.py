"""What may go: jobs that were pulled, environments that nobody uses, old backups."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import time
from pathlib import Path
from typing import List, Mapping

from remote.agent import environments, room, unpulled
from remote.agent.environments import downloads
from remote.agent.job_folders import STAMP, STAMP_FORMAT, every, find, forget, job_of, live
from remote.agent.job_state import state_of
from remote.agent.jobs import states
from remote.agent.services import keep_saved
from remote.agent.target_dir import root_of
from remote.errors import JobError, ProtocolError, TargetError
from remote.files import is_absent, locked, plural, size
from remote.folders import bytes_in, delete
from remote.job import tree
from remote.job.messages.old_jobs import PruneAnswer, PruneRequest, RemoveAnswer, RemoveRequest
from remote.job.outputs import below
from remote.job.paths import STATE, JobPaths
from remote.job.status import ENDED, UNKNOWN

#: Seconds that a backup stays, however soon others may go.
BACKUP_AGE = 86400.0

#: How the names begin of what is being removed.
GONE = ".removed-"

#: What prunes that were killed left of what they removed, and what others did that were killed,
#: below `.remote`.
REMOVED = tuple(f"{folder}/{GONE}*" for folder in ("jobs", "envs", "backup", "states"))
OWNED = ("incoming-*", ".mlflow-new-*", "delta-*", "saved-*.zip", ".tmp-*")


def remove(request: RemoveRequest) -> RemoveAnswer:
    """Remove the folders of ended jobs: log, status and snapshot. Results and records stay.

    Raises JobError for a job that goes on, or was not pulled.
    """
    root = root_of(request.key)
    jobs = [find(root, name) for name in request.jobs]
    for paths in jobs:
        status = state_of(paths)
        state = status.state
        if state == UNKNOWN:
            raise JobError(
                f"Whether {paths.id} has ended is unknown: {status.cause}",
                f"Look at it on the server, and remove it there: {paths.folder}",
            )
        if state not in ENDED:
            raise JobError(f"{paths.id} is {state}.", f"Stop it first: inv remote-stop {paths.id}")
        if paths.id not in request.pulled and not request.force:
            raise JobError(
                f"{paths.id} was not pulled yet.",
                "Pull first (make sync-pull), or remove it anyway: --force",
            )
        files: Mapping[str, int] = {} if request.force else _only_here(paths)
        if files:
            raise JobError(
                f"{paths.id} has the only copy of {unpulled.summary(files)}.",
                f"Copy it (inv remote-fetch {paths.id}), or remove it anyway: --force",
            )
    freed = 0
    left: List[str] = []
    for paths in jobs:
        keep_saved(paths)
        freed += _remove(paths.folder, left)
        forget(paths)
    freed += sum(_remove(folder, left) for folder in states.unused(root))
    if left:
        raise TargetError(
            f"{plural(len(jobs), 'job')} removed, but for what can't be: {left[0]}",
            "Remove that on the server, as who may: sudo rm -r. Then: inv remote-prune",
        )
    return RemoveAnswer(removed=tuple(paths.id for paths in jobs), bytes=freed)


def prune(request: PruneRequest) -> PruneAnswer:
    """Remove what has been of no use for so long, or say what would go."""
    root = root_of(request.key)
    remarks: List[str] = []
    # First of all: on a full disk, what follows may need room.
    unfinished = _clear_unfinished(root, request.dry_run, remarks)
    # By the clock that is behind: what the other takes for old may be minutes old.
    limit = min(time.time(), request.now or math.inf) - request.older
    old = [paths for paths in every(root) if _ended_before(paths, limit)]
    pulled = [paths for paths in old if request.force or paths.id in request.pulled]
    unfetched = [paths for paths in pulled if not request.force and _may_be_only_here(paths)]
    jobs = [paths for paths in pulled if paths not in unfetched]
    unused = _unused_environments(root, limit, request, remarks)
    # What a push replaced may be missed only tomorrow.
    kept_until = min(limit, time.time() - BACKUP_AGE)
    backups = [
        path for path in _folders(root / STATE / "backup") if path.stat().st_mtime < kept_until
    ]
    left = states.unused(root, {paths.id for paths in jobs})
    left += _unused_arrays(root)
    folders = [*backups, *(paths.folder for paths in jobs), *unused, *left]
    for paths in () if request.dry_run else jobs:
        keep_saved(paths)
    freed = sum(bytes_in(path) if request.dry_run else _remove(path, remarks) for path in folders)
    downloaded = _clear_downloads(request.dry_run, remarks)
    return PruneAnswer(
        unfinished=unfinished,
        downloads=downloaded,
        remarks=tuple(remarks),
        jobs=tuple(paths.id for paths in jobs),
        kept=tuple(paths.id for paths in old if paths not in pulled),
        unfetched=tuple(paths.id for paths in unfetched),
        environments=tuple(path.name for path in unused),
        backups=tuple(path.name for path in backups),
        bytes=freed + unfinished + downloaded,
    )


def _unused_arrays(root: Path) -> List[Path]:
    """Folders of links by which a scheduler wrote for the jobs of an array, which are all gone."""
    links = {folder: list(folder.iterdir()) for folder in _folders(root / STATE / "arrays")}
    return [
        folder
        for folder, there in links.items()
        if all(is_absent(Path(os.readlink(str(link))).parent) for link in there)
    ]


def _clear_unfinished(root: Path, dry_run: bool, remarks: List[str]) -> int:
    """Remove what no transfer and no process goes on with; the bytes of it."""
    state, day = root / STATE, time.time() - 86400
    gone = [path for pattern in REMOVED for path in state.glob(pattern)]
    # Their owners hold no lock that tells whether they live.
    left = [path for name in OWNED for path in state.glob(name) if path.lstat().st_mtime < day]
    freed = sum(bytes_in(path) for path in [*gone, *left])
    if not dry_run:
        remarks += filter(None, map(_finish, gone))
        remarks += filter(None, map(_clear, left))
        freed -= sum(bytes_in(path) for path in [*gone, *left])
    copies = [path.name for path in _folders(root / STATE / "partial")]
    with contextlib.ExitStack() as stack:
        is_free = True
        with contextlib.suppress(OSError):
            is_free = stack.enter_context(tree.reading(root, ""))
        if is_free:
            return freed + room.clear(root, *copies, dry_run=dry_run)
    remarks.append("the files of a push that is still running")
    return freed


def _clear_downloads(dry_run: bool, remarks: List[str]) -> int:
    """Have uv forget the packages that no environment on this machine uses; the bytes of them."""
    folder = downloads.folder()
    if folder is None:
        return 0
    if not downloads.is_default(folder):
        remarks.append(
            f"uv's cache {folder}: a setting names it, maybe for others too: uv cache clean"
        )
        return 0
    unused = downloads.unused(folder)
    freed = sum(unused.values())
    if unused and not dry_run and not downloads.remove(unused):
        remarks.append(f"{size(freed)} of uv's cache {folder}: uv is using it, or failed")
        return 0
    return freed


def _only_here(paths: JobPaths) -> Mapping[str, int]:
    """What would go with a job's snapshot, and no pull brings."""
    files = unpulled.read(paths, job_of(paths)).files
    return {name: bytes for name, bytes in files.items() if not below(name, ["data"])}


def _may_be_only_here(paths: JobPaths) -> bool:
    try:
        return bool(_only_here(paths))
    except (OSError, ProtocolError):
        # What it left can't be told.
        return True


def _ended_before(paths: JobPaths, limit: float) -> bool:
    # The folder's own time tells of young jobs without reading them; an id does, too, of one that
    # began and ended while the clock was behind.
    stamp = time.strftime(STAMP_FORMAT, time.localtime(limit))
    try:
        if paths.folder.stat().st_mtime > limit or paths.id[:STAMP] > stamp:
            return False
    except FileNotFoundError:
        return False
    status = state_of(paths)
    return status.state in ENDED and (status.ended or 0) < limit


def _unused_environments(
    root: Path, limit: float, request: PruneRequest, remarks: List[str]
) -> List[Path]:
    """Those that no living job uses, that what was pushed doesn't need, and that no job has begun with
    since `limit`; why the others stay goes to `remarks`. None where a job can't be read that may use
    one."""
    statuses = {paths.id: state_of(paths) for paths in live(root)}
    unknown = [id for id, status in statuses.items() if status.state == UNKNOWN]
    if unknown:
        remarks.append(f"all environments: {unknown[0]} can't be read, and may use one")
        return []
    used = {status.environment: f"job {id} uses it" for id, status in statuses.items()}
    with contextlib.suppress(JobError):
        used[environments.of_job(root, root, request).name] = "the pushed project needs it"
    unused = []
    for env in _folders(root / STATE / "envs"):
        ready = env / environments.COMPLETE
        young = ready.exists() and ready.stat().st_mtime > limit
        # `<name>.source` belongs to who makes it.
        if env.stem in used or young:
            why = used.get(env.stem, "a job has used it since")
            remarks.append(f"environment {env.name}: {why}")
        else:
            unused.append(env)
    return unused


def _folders(folder: Path) -> List[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and not path.is_symlink())


def _remove(folder: Path, left: List[str]) -> int:
    """Remove a folder; the bytes that this frees come back, and what stays of it goes to `left`."""
    lock = folder.with_name(folder.name + ".lock")
    with contextlib.ExitStack() as stack:
        try:
            # That of an environment is there since it was made: a new one needs room.
            if lock.exists():
                stack.enter_context(locked(lock))
            # Out of sight first: what is half removed must not be taken for whole.
            gone = folder.with_name(f"{GONE}{folder.name}")
            os.replace(str(folder), str(gone))
        except FileNotFoundError:
            # Somebody else removes the same.
            return 0
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # A disk so full that it takes no name any more.
            gone = folder
        freed = bytes_in(gone)
        left += filter(None, [delete(gone)])
        freed -= bytes_in(gone)
        for suffix in (".log", ".json", ".requirements", ".torch-requirements", ".lock"):
            with contextlib.suppress(FileNotFoundError):
                folder.with_name(folder.name + suffix).unlink()
    return freed


def _clear(left: Path) -> str:
    """Remove a folder or file that nobody goes on with; what stays comes back, in words."""
    if left.is_dir():
        return delete(left)
    with contextlib.suppress(FileNotFoundError):
        left.unlink()
    return ""


def _finish(gone: Path) -> str:
    """Remove what a call that was killed had begun to remove; what stays comes back, in words."""
    lock = gone.with_name(f"{gone.name[len(GONE):]}.lock")
    with locked(lock) if lock.exists() else contextlib.nullcontext():
        problem = delete(gone)
        with contextlib.suppress(FileNotFoundError):
            lock.unlink()
    return problem
