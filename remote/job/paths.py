"""The job folder is the protocol: its files, and how a job is named.

This module is part of the agent too, so it needs no more than Python 3.8.
"""

from __future__ import annotations

import re
from pathlib import Path

#: Where lease files lie unless a setting says otherwise: the one folder that all users share.
LEASES = "/tmp"

#: MLflow's records, below the root on both sides.
STORE, ARTIFACTS = "mlflow.db", "mlruns"

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


class _Entry:
    """A file of the job folder. Its path is made when it is asked for: a list of jobs names
    thousands, and looks into a few."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, paths: JobPaths, owner: type) -> Path:
        return paths.folder / self.name


class JobPaths:
    """Every file of one job. `root` is the target's root, absolute."""

    job = _Entry("job.json")
    diff = _Entry("uncommitted.diff")
    launch = _Entry("launch.json")
    status = _Entry("status.json")
    progress = _Entry("progress.json")
    proxy = _Entry("proxy")
    serving = _Entry("serving.json")
    address = _Entry("address.json")
    saved = _Entry("saved.json")
    stores = _Entry("stores")
    packages = _Entry("packages.json")
    own_store = _Entry("mlflow.db")
    frozen = _Entry("frozen.json")
    unpulled = _Entry("unpulled.json")
    end = _Entry("status.end")
    reserve = _Entry("reserve")
    stop = _Entry("stop")
    log = _Entry("log")
    times = _Entry("log.times")
    scheduler = _Entry("scheduler.out")
    code = _Entry("code")
    pristine = _Entry("pristine")
    notebook = _Entry("notebook.ipynb")
    page = _Entry("notebook.html")
    figures = _Entry("figures")
    jupyter = _Entry("jupyter")

    def __init__(self, root: Path, job_id: str) -> None:
        if not ID_PATTERN.match(job_id):
            raise ValueError(f"not a job id: {job_id!r}")
        self.root = root
        self.id = job_id
        self.folder = jobs_folder(root) / job_id

    def spread_store(self, name: str) -> Path:
        """The store of what the job's code runs elsewhere, on a node or as a scheduler's job of that
        name."""
        return self.folder / f"mlflow-{name}.db"

    @property
    def live(self) -> Path:
        """The file that says that the job has not ended, as far as is known."""
        return live_folder(self.root) / self.id

    @property
    def first_code(self) -> Path:
        """The code as it was before the job ran in it. Jobs of earlier versions have kept no other
        than what they left."""
        return self.pristine if self.pristine.is_dir() else self.code


def states_folder(root: Path) -> Path:
    """Where jobs keep what they go on with after an interruption: a folder for each, by the id of
    the first one that used it."""
    return root / STATE / "states"


def saved_folder(root: Path) -> Path:
    """What was saved in JupyterLabs whose jobs are removed: a file for each, by its id."""
    return root / STATE / "saved"


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
