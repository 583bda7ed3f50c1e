"""What a job leaves behind: its notebook, read-only, and what lies beside its MLflow run."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Optional

from remote.agent.job_folders.find_jobs import forget, job_of
from remote.agent.job_folders.raw_data import ReadOnly
from remote.agent.tracking import job_run, run_rows
from remote.files import copy_new, write_atomic
from remote.job.kinds import kind_of
from remote.job.paths import JobPaths
from remote.job.serving import PRIVATE, Serving
from remote.job.spec import Job
from remote.job.state import FAILED, FINISHED, LOST, STOPPED
from remote.job.status import JobStatus

FOLDER = "data/results/notebooks"
SUFFIX = {FINISHED: "", FAILED: ".failed", STOPPED: ".stopped", LOST: ".lost"}

#: Where the job's own account lies among the artifacts of its run, and how much of the log.
ACCOUNT = "remote"
LOG_LIMIT = 32 << 20


def keep(paths: JobPaths, job: Job, status: JobStatus) -> str:
    """Keep the notebook of a job that has ended; its path below the root, or "" without one.

    A worker that was killed may have left half a notebook: that one stays in the job's folder.
    """
    shutil.rmtree(str(paths.jupyter), ignore_errors=True)
    clear_service(paths)
    if not kind_of(job).keeps_notebook or not _is_whole(paths):
        return ""
    stamp = "-".join(paths.id.split("-")[:2])
    name = f"{stamp}_{job.output}{SUFFIX[status.state]}.ipynb"
    kept = copy_new(paths.notebook, paths.root / FOLDER / name, mode=0o444)
    artifacts = _artifacts(paths, job, status)
    if artifacts:
        copy_new(paths.notebook, artifacts / kept.name, mode=0o644)
    return f"{FOLDER}/{kept.name}"


def _artifacts(paths: JobPaths, job: Job, status: JobStatus) -> Optional[Path]:
    return run_rows.artifact_dir(job_run.store_of(paths.root), job_run.run_of(job, status))


def keep_account(paths: JobPaths, job: Job, status: JobStatus) -> None:
    """Put what was asked, what became of it and the log beside the job's MLflow run.

    So a pull brings them, and the job's folder may go.
    """
    artifacts = _artifacts(paths, job, status)
    if artifacts is None:
        return
    folder = artifacts / ACCOUNT
    folder.mkdir(parents=True, exist_ok=True)
    status.to_file(folder / "status.json")
    for source in (paths.job, paths.diff):
        if source.is_file():
            # For the owner alone here too: variables and parameters may be private.
            write_atomic(folder / source.name, source.read_bytes(), mode=0o600)
    write_atomic(folder / "log.txt", _end_of(paths.log))


def _end_of(log: Path) -> bytes:
    """The log; of one that is very long, the end."""
    if not log.is_file():
        return b""
    with open(str(log), "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LOG_LIMIT))
        cut = f"[remote] {size - LOG_LIMIT} bytes before this were left out\n".encode()
        return (cut if size > LOG_LIMIT else b"") + file.read()


def _is_whole(paths: JobPaths) -> bool:
    try:
        json.loads(paths.notebook.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def clear_service(paths: JobPaths) -> None:
    """Remove the private folder in /tmp of a service that has ended, and nothing else."""
    serving = Serving.from_file(paths.serving)
    if serving and re.match(PRIVATE + r"\w+\Z", serving.folder):
        shutil.rmtree(serving.folder, ignore_errors=True)
        paths.serving.unlink()


def end_job(paths: JobPaths, status: JobStatus) -> JobStatus:
    """The end of a job whose worker can't see to it any more.

    Its results are kept, its runs ended, and its status is written down and comes back.
    """
    job = job_of(paths)
    if job:
        status = status.replace(result=keep(paths, job, status) or status.result)
        keep_account(paths, job, status)
        job_run.end_runs(paths, job, status)
    status.to_file(paths.status)
    forget(paths)
    with contextlib.suppress(OSError, ValueError):
        ReadOnly(paths.root).give_back()
    return status
