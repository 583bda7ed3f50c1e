"""What a job leaves behind: its executed notebook, read-only, and beside its MLflow run."""

from __future__ import annotations

import json
import shutil
from typing import Any, Mapping

from remote.files import copy_new
from remote.host import record, records
from remote.job import FAILED, FINISHED, LOST, STOPPED, JobPaths

FOLDER = "data/results/notebooks"
SUFFIX = {FINISHED: "", FAILED: ".failed", STOPPED: ".stopped", LOST: ".lost"}


def keep(paths: JobPaths, job: Mapping[str, Any], state: str) -> str:
    """Keep the notebook of a job that has ended; its path below the root, or "" without one.

    A worker that was killed may have left half a notebook: that one stays in the job's folder.
    """
    shutil.rmtree(str(paths.jupyter), ignore_errors=True)
    if not _is_whole(paths):
        return ""
    stamp = "-".join(paths.id.split("-")[:2])
    name = f"{stamp}_{job['output']}{SUFFIX[state]}.ipynb"
    kept = copy_new(paths.notebook, paths.root / FOLDER / name, mode=0o444)
    artifacts = record.artifact_dir(records.store_of(paths.root), job["mlflow_run"])
    if artifacts:
        copy_new(paths.notebook, artifacts / kept.name, mode=0o644)
    return f"{FOLDER}/{kept.name}"


def _is_whole(paths: JobPaths) -> bool:
    try:
        json.loads(paths.notebook.read_bytes())
    except (OSError, ValueError):
        return False
    return True
