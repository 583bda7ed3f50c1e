"""The job folder is the protocol: its files, and how a job is named.

This module is part of the agent too, so it needs no more than Python 3.8.
"""

from __future__ import annotations

import re
from pathlib import Path

#: Where lease files lie unless a setting says otherwise: the one folder that all users share.
LEASES = "/tmp"

#: MLflow's records, below the root on both sides.
STORE = "mlflow.db"

#: The toolkit's own folder below the project's root, on both sides.
STATE = ".remote"

#: The toolkit's own folder in the home of an account, on both sides: agents, links to targets, uv.
#: Named in plain letters, since the client writes it into command lines that any login shell reads.
CACHE = ".cache/remote-gpu-workflow"

#: The folders of STATE that hold one for each copy of the project that a target was made ready for.
CLAIMS = ("partial", "projects")

#: The folders, beside its files, of what a push has not finished, in rsync's letters.
PARTIAL = ".~remote-*~"

#: What an environment variable may be called.
NAME_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")


class JobPaths:
    """Every file of one job. `root` is the target's root, absolute."""

    def __init__(self, root: Path, job_id: str) -> None:
        if not ID_PATTERN.match(job_id):
            raise ValueError(f"not a job id: {job_id!r}")
        self.root = root
        self.id = job_id
        self.folder = jobs_folder(root) / job_id
        self.job = self.folder / "job.json"
        self.diff = self.folder / "uncommitted.diff"
        self.launch = self.folder / "launch.json"
        self.status = self.folder / "status.json"
        self.progress = self.folder / "progress.json"
        self.proxy = self.folder / "proxy"
        self.serving = self.folder / "serving.json"
        self.saved = self.folder / "saved.json"
        self.stores = self.folder / "stores"
        self.own_store = self.folder / "mlflow.db"
        self.frozen = self.folder / "frozen.json"
        self.unpulled = self.folder / "unpulled.json"
        self.end = self.folder / "status.end"
        self.reserve = self.folder / "reserve"
        self.stop = self.folder / "stop"
        self.log = self.folder / "log"
        self.times = self.folder / "log.times"
        self.code = self.folder / "code"
        self.pristine = self.folder / "pristine"
        self.notebook = self.folder / "notebook.ipynb"
        self.jupyter = self.folder / "jupyter"
        self.live = live_folder(root) / job_id

    @property
    def first_code(self) -> Path:
        """The code as it was before the job ran in it. Jobs of earlier versions have kept no other
        than what they left."""
        return self.pristine if self.pristine.is_dir() else self.code


def jobs_folder(root: Path) -> Path:
    """Where the job folders of a target lie."""
    return root / STATE / "jobs"


def live_folder(root: Path) -> Path:
    """Where each job that has not ended has an empty file, so that thousands needn't be read."""
    return root / STATE / "live"


def partial_name(project: str) -> str:
    """How a copy of the project, by its random id, calls its PARTIAL: no file of a user's has it."""
    return PARTIAL.replace("*", project[:12])


def temporary_folder(root: Path, project: str) -> Path:
    """Where rsync writes what a copy of the project pushes, until a file is whole."""
    return root / STATE / "partial" / project


def slug(name: str) -> str:
    """`name` in letters that tmux, MLflow and a folder take: A-Z a-z 0-9 _ -, 32 at most."""
    import unicodedata

    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-_")[:32].strip("-_") or "job"
