"""Services: jobs that show something to their owner, in the live tree, and are no MLflow run.

A service is reached by a port of loopback and a token (JupyterLab), or by a socket in a folder of
its own that nobody else can enter (what has no log-in). One of a kind runs on a target at a time.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

from remote.agent.jobs.lifecycle import find, live, state_of
from remote.agent.target_dir import root_of
from remote.files import locked, read_json
from remote.job.paths import STATE, JobPaths
from remote.job.state import ENDED

#: How the folders of services begin: in /tmp, since a socket's path must fit into 104 bytes.
PRIVATE = "/tmp/remote-serve-"

#: What tells one call of a service from another: where a file browser begins, what is shown.
ASKED = ("folder", "logdir", "extras", "gpus")


def look(*, key: str, service: str = "", job: str = "") -> Dict[str, Any]:
    """A service, by its kind while it goes on or by its job: nothing where there is none.

    `id`, `status`, `asked`, and `at` once it answers: `path` and either `port` and `token`, or
    `socket`.
    """
    root = root_of(key)
    paths = running(root, service) if service else find(root, job)
    if paths is None:
        return {}
    asked = read_json(paths.job) or {}
    return {
        "id": paths.id,
        "status": state_of(paths),
        "asked": {name: asked.get(name) for name in ASKED},
        "at": _place(paths),
    }


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Hold back whoever else is about to start a service."""
    with locked(root / STATE / "services.lock"):
        yield


def running(root: Path, service: str) -> Optional[JobPaths]:
    """The service of that kind that goes on, the newest should there be several."""
    for paths in reversed(live(root)):
        job = read_json(paths.job) or {}
        if job.get("service") == service and state_of(paths)["state"] not in ENDED:
            return paths
    return None


def _place(paths: JobPaths) -> Optional[Dict[str, Any]]:
    """Where it answers; None as long as it doesn't."""
    known = read_json(paths.serving)
    if not known:
        return None
    folder = Path(known["folder"])
    file = folder / "socket"
    if _answers(str(file)):
        return {"path": known["path"], "socket": str(file)}
    # Jupyter's own account of a server that listens.
    for file in folder.glob("jpserver-*.json"):
        told = read_json(file) or {}
        if told.get("port"):
            return {"path": known["path"], "port": told["port"], "token": told["token"]}
    return None


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def clear(paths: JobPaths) -> None:
    """Remove the private folder of a service that has ended."""
    known = read_json(paths.serving)
    if known and re.match(PRIVATE + r"\w+\Z", known["folder"]):
        shutil.rmtree(known["folder"], ignore_errors=True)
        paths.serving.unlink()
