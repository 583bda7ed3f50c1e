"""Run a notebook on this machine, the way a target would."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from remote.agent.jobs.submit import create, write_job
from remote.config import Project
from remote.job.spec import JobSpec
from remote.job.state import LOST
from remote.job.status import JobStatus
from remote.rpc.client import Agent
from remote.rpc.wire import CACHE, LocalWire
from remote.transport import process


@dataclass(frozen=True)
class RunHere:
    """A job that was run in this terminal. `code` is its exit code."""

    id: str
    state: str
    code: int


def run(project: Project, job: JobSpec) -> RunHere:
    """Run the job in the foreground, to its end."""
    paths = create(project.root, job.name)
    write_job(paths, job.replace(target=platform.node(), interpreter=sys.executable))
    agent = Agent(LocalWire())
    file = Path.home() / CACHE / agent.name
    if not file.is_file():
        agent.bring()
    argv = [sys.executable, str(file), "work-here", str(project.root), paths.id]
    code = _wait(argv)
    status = JobStatus.from_file(paths.status)
    # A worker that was killed before its first word has written none.
    return RunHere(id=paths.id, state=status.state if status else LOST, code=code)


def _wait(argv: list[str]) -> int:
    """Ctrl-C reaches the worker too, which ends the job; wait for that."""
    worker = process.start(argv)
    while True:
        try:
            return worker.wait()
        except KeyboardInterrupt:
            continue
