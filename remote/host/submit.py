"""Accept a job: freeze its code, write down what was asked, start its worker."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

from remote.errors import JobError
from remote.files import read_json, write_json
from remote.host import environment
from remote.host.place import find_uv, machine, root_of
from remote.host.snapshot import freeze
from remote.host.tmux import launch
from remote.job import JobPaths, jobs_folder, slug

#: How long a worker may take to say that it lives, in seconds.
START_LIMIT = 20.0


def submit(*, key: str, job: Dict[str, Any], socket: str) -> Dict[str, Any]:
    """Start a job; its id comes back. `need: uv` comes back where uv has to be brought first."""
    root = root_of(key)
    if not (root / job["notebook"]).is_file():
        raise JobError(
            f"{job['notebook']} was not pushed to the server.", "Does .rsyncignore exclude it?"
        )
    lock = environment.lock_file(root)
    env = environment.folder(root, lock, job.get("python", ""))
    if not environment.is_ready(env) and find_uv() is None:
        return {"need": "uv", "platform": machine()}
    paths = create(root, job["name"])
    try:
        freeze(paths)
        write_job(paths, job)
        launch(paths.id, _worker(key, paths.id), socket=socket)
        _wait_for_worker(paths)
    except BaseException:
        shutil.rmtree(str(paths.folder), ignore_errors=True)
        raise
    return {"id": paths.id, "environment_ready": environment.is_ready(env)}


def create(root: Path, name: str) -> JobPaths:
    """A new, empty job folder; its id is the time, the name, and four letters of chance."""
    jobs_folder(root).mkdir(parents=True, exist_ok=True)
    while True:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        paths = JobPaths(root, f"{stamp}-{slug(name)}-{secrets.token_hex(2)}")
        try:
            paths.folder.mkdir()
            return paths
        except FileExistsError:
            continue


def write_job(paths: JobPaths, job: Dict[str, Any]) -> None:
    """Write down, once, what was asked. Readable by the owner alone: parameters may be private."""
    fixed = {
        **job,
        "id": paths.id,
        "root": str(paths.root),
        "host": platform.node(),
        "submitted": time.time(),
        "mlflow_run": secrets.token_hex(16),
    }
    write_json(paths.job, fixed, mode=0o600)


def _worker(key: str, job_id: str) -> List[str]:
    return [sys.executable, os.path.abspath(sys.argv[0]), "work", key, job_id]


def _wait_for_worker(paths: JobPaths) -> None:
    deadline = time.monotonic() + START_LIMIT
    while read_json(paths.status) is None:
        if time.monotonic() > deadline:
            raise JobError(
                "tmux started the job, but its worker never wrote its status.",
                "See whether tmux works there: tmux new -d 'sleep 60'; tmux ls",
            )
        time.sleep(0.01)
