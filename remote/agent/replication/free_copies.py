"""Artifacts and results that a laptop has too, removed to make room: each only where its content is
what the laptop says, and nothing of what goes on."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

from remote.agent.job_folders import live
from remote.agent.replication.artifact_files import names_in
from remote.agent.target_dir import root_of
from remote.agent.tracking.job_run import store_of
from remote.files import sha256
from remote.folders import statuses
from remote.job.messages.old_jobs import FreeAnswer, FreeRequest
from remote.tracking.merge.artifact_paths import artifacts_below
from remote.tracking.store import connect_read_only, has_table, is_present, usable

_ENDED = (
    "SELECT run_uuid, artifact_uri FROM runs WHERE end_time < ?"
    " AND status NOT IN ('RUNNING', 'SCHEDULED')"
)


def free(request: FreeRequest) -> FreeAnswer:
    """Remove what may go and is the same on both sides; without sums, say what may go."""
    root = root_of(request.key)
    # By the clock that is behind: what the other takes for old may be minutes old.
    limit = min(time.time(), request.now or math.inf) - request.older
    old = dict(_old_files(root, request, limit))
    if not request.sums:
        files = {name: status.st_size for name, status in old.items()}
        changed = {name: status.st_ctime_ns for name, status in old.items()}
        return FreeAnswer(files=files, changed=changed)
    gone: Dict[str, int] = {}
    freed = 0
    for name in request.sums.keys() & old.keys():
        path = root / name
        # What can't be read or removed stays.
        with suppress(OSError):
            if sha256(path) == request.sums[name]:
                status = path.stat()
                path.unlink()
                gone[name] = status.st_size
                freed += status.st_blocks * 512 if status.st_nlink == 1 else 0
    return FreeAnswer(files=gone, bytes=freed)


def _old_files(
    root: Path, request: FreeRequest, limit: float
) -> Iterator[Tuple[str, os.stat_result]]:
    """The plain files of what has ended, and was changed last before `limit`."""
    jobs = {paths.id for paths in live(root)}
    # Whose results are whose can't be told, nor what a job that goes on reads.
    folders = [*_artifacts(root, jobs, limit), *(() if jobs else request.outputs)]
    for folder in folders:
        for name, status in statuses(root, names_in(root, folder)):
            if stat.S_ISREG(status.st_mode) and status.st_mtime < limit:
                yield name, status


def _artifacts(root: Path, jobs: Set[str], limit: float) -> List[str]:
    """The folders of runs that have ended, and of their models; of what has a version in the registry,
    nothing, since jobs load it by that."""
    store = store_of(root)
    if not is_present(store):
        return []
    with usable(store), closing(connect_read_only(store)) as database:
        places = _places(database, jobs, limit)
    folders = (artifacts_below(place, name, [str(root)]) for name, place in places.items())
    return [folder for folder in folders if folder]


def _places(database: sqlite3.Connection, jobs: Set[str], limit: float) -> Dict[str, str]:
    """Where runs and models keep what may go, by their ids."""
    run = database.execute
    tags = run("SELECT run_uuid, value FROM tags WHERE key = 'remote.job'")
    kept = {owner for owner, job in tags if job in jobs}
    versions = ""
    if has_table(database, "model_versions"):
        for owner, source in run("SELECT run_id, source FROM model_versions").fetchall():
            kept.add(owner)
            versions += f" {source}"
    ended = run(_ENDED, (int(limit * 1000),))
    places = {name: place for name, place in ended if name not in kept and name not in versions}
    if has_table(database, "logged_models"):
        models = run("SELECT model_id, artifact_location, source_run_id FROM logged_models")
        made = [(name, place) for name, place, owner in models if owner in places]
        places.update((name, place) for name, place in made if name not in versions)
    return places
