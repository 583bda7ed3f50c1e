"""Run a notebook on this machine, the way a target would."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remote.agent.jobs.submit import create, write_job
from remote.config import Project
from remote.files import read_json
from remote.job.paths import JobPaths
from remote.rpc.client import Agent
from remote.rpc.wire import CACHE, LocalWire
from remote.transport import process


def run(project: Project, job: Mapping[str, Any]) -> dict[str, Any]:
    """Run the job in the foreground; its status comes back."""
    paths = create(project.root, str(job["name"]))
    write_job(paths, {**job, "target": platform.node(), "interpreter": sys.executable})
    agent = Agent(LocalWire())
    file = Path.home() / CACHE / agent.name
    if not file.is_file():
        agent.bring()
    argv = [sys.executable, str(file), "work-here", str(project.root), paths.id]
    code = _wait(argv)
    return {
        "id": paths.id,
        **(read_json(JobPaths(project.root, paths.id).status) or {}),
        "code": code,
    }


def _wait(argv: list[str]) -> int:
    """Ctrl-C reaches the worker too, which ends the job; wait for that."""
    worker = process.start(argv)
    while True:
        try:
            return worker.wait()
        except KeyboardInterrupt:
            continue
