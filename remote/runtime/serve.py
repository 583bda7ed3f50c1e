"""Become a service of a target: JupyterLab, TensorBoard, or MLflow's UI."""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path

from remote.job.fields import save
from remote.job.paths import JobPaths
from remote.job.serving import PRIVATE, Serving
from remote.job.spec import read_job

#: What a job may ask for, and the module beside this one that serves it.
SERVICES = {"lab": "serve_lab", "tensorboard": "serve_tensorboard", "ui": "serve_ui"}

MISSING = "[remote] This environment lacks {name}. Add it to the lock file: make lock"


def main() -> None:
    """`serve <job folder>`: serves until it is told to end."""
    folder = Path(sys.argv[2]).resolve()
    paths = JobPaths(folder.parent.parent.parent, folder.name)
    job = read_job(folder)
    service = import_module(f"remote.runtime.{SERVICES[job.service]}")
    private = Path(tempfile.mkdtemp(prefix=Path(PRIVATE).name, dir=str(Path(PRIVATE).parent)))
    save(paths.serving, Serving(str(private), service.path(job)), mode=0o600)
    try:
        service.serve(paths, job, private)
    except ModuleNotFoundError as error:
        print(MISSING.format(name=error.name), file=sys.stderr)
        sys.exit(1)
