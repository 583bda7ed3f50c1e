"""Job folders as `submit` and workers leave them, and a launcher that is no process here."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remote.agent import launchers, processes
from remote.files import write_json
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import JobStatus, ProcessId

KEY = "0" * 16


IDS = (
    "20260101-090000-train-aaaa",
    "20260101-100000-train-bbbb",
    "20260102-090000-evaluate-cccc",
)


def add(
    root: Path, job_id: str = IDS[0], age: float = 0, kind: str = "notebook", **status: Any
) -> JobPaths:
    """A job as `submit` writes it down, and its status where one is given."""
    paths = JobPaths(root, job_id)
    paths.folder.mkdir(parents=True)
    asked = {"id": job_id, "name": "train", "kind": kind, "source": "src/a.ipynb"}
    write_json(paths.job, {**asked, "submitted": 1.0})
    os.utime(paths.job, (time.time() - age,) * 2)
    if status:
        JobStatus(**status).to_file(paths.status)
    return paths


def gone() -> ProcessId:
    """The identity of a process that is dead."""
    with subprocess.Popen(["sleep", "60"]) as started:
        seen = processes.identity(started.pid)
        started.kill()
    return seen


class Elsewhere:
    """A launcher whose workers are no processes of this machine, and what it says of them."""

    PROGRAMS = ()
    START_LIMIT = None
    START_HINT = ""
    ELSEWHERE = True

    def __init__(self) -> None:
        self.answer: bool | None = True
        self.reason = ""
        self.calls: list[str] = []

    def start(self, job: Job, argv: Sequence[str], setting: str) -> dict[str, Any]:
        return {"number": 7}

    def alive(self, handle: Mapping[str, Any]) -> bool | None:
        return self.answer

    def waiting(self, handle: Mapping[str, Any]) -> str:
        return self.reason

    def stop(self, handle: Mapping[str, Any]) -> None:
        self.calls.append(f"stop {handle['number']}")
        self.answer = self.answer and None if "stubborn" in handle else False

    def kill(self, handle: Mapping[str, Any]) -> None:
        self.calls.append("kill")

    def attach(self, handle: Mapping[str, Any], job_id: str) -> list[str]:
        return ["attach", job_id]

    def why_ended(self, handle: Mapping[str, Any]) -> str:
        return "its time was over"


def add_elsewhere(root: Path, **status: Any) -> JobPaths:
    """A job whose worker, as status.json has it, is a process of another machine."""
    paths = add(root, age=9999, **status)
    launchers.start(paths, "elsewhere", ["work"], "")
    return paths
