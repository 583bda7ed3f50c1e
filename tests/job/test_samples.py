"""Job folders that the version before the protocol had types wrote (commit c83f59b): all are read.

Each folder of `samples` was made by a real job of that version; only names of machines, users and
folders were changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from remote.agent import job_folders, job_state
from remote.job.kinds import kind_of
from remote.job.paths import JobPaths
from remote.job.spec import Git, Job, read_job
from remote.job.status import FINISHED, LOST, QUEUED, RUNNING, JobStatus, LeasedGpu, Progress
from remote.target_facts import TargetFacts

SAMPLES = Path(__file__).with_name("samples")
FOLDERS = sorted(SAMPLES.iterdir())

#: What no version asks any more.
GONE = ("continues_run", "language")


def said(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_bytes())
    return document


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_was_asked_is_read(folder: Path) -> None:
    job = read_job(folder)
    assert kind_of(job).name == said(folder / "job.json")["kind"]
    for name, value in said(folder / "job.json").items():
        if name in GONE:
            continue
        read = getattr(job, name)
        if name in ("git", "submitter"):
            read = read.to_json()
            value = {key: content for key, content in value.items() if content is not False}
        assert read == (tuple(value) if isinstance(value, list) else value), name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_became_of_it_is_read(folder: Path) -> None:
    status = JobStatus.from_file(folder / "status.json")
    assert status is not None and folder.name.split("-")[1] in (status.state, "failed")
    for name, value in said(folder / "status.json").items():
        read = getattr(status, name)
        assert (read.to_json() if name == "worker" else read) == value, name


def test_there_is_one_of_each_kind_and_of_each_state() -> None:
    jobs = [read_job(folder) for folder in FOLDERS]
    assert {job.kind for job in jobs} == {"notebook", "script", "command", "mlproject", "service"}
    assert any(job.hydra for job in jobs) and any(job.git.commit for job in jobs)
    statuses = [JobStatus.from_file(folder / "status.json") for folder in FOLDERS]
    states = {status.state for status in statuses if status}
    assert {QUEUED, RUNNING, FINISHED, LOST, "failed", "stopped"} == states


def test_a_notebooks_progress_is_read() -> None:
    assert Progress.from_file(SAMPLES / "notebook-finished/progress.json") == Progress(3, 3)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_is_listed(folder: Path, tmp_path: Path) -> None:
    job = read_job(folder)
    paths = JobPaths(tmp_path, job.id)
    paths.folder.mkdir(parents=True)
    for file in folder.iterdir():
        (paths.folder / file.name).write_bytes(file.read_bytes())
    [listed] = job_folders.every(tmp_path)
    assert job_folders.job_of(listed) == job
    before = said(folder / "status.json")["state"]
    # Whoever worked on it is long gone.
    assert job_state.state_of(listed).state == (LOST if before in (QUEUED, RUNNING) else before)


def test_what_a_job_on_gpus_said_is_read() -> None:
    gpus = [{"index": 3, "uuid": "GPU-6c0f", "name": "NVIDIA H100 80GB HBM3"}]
    document = {"state": RUNNING, "gpus": gpus, "driver": "550.54.15", "cuda": "12.4"}
    status = JobStatus.from_json(document, "status.json")
    assert status.gpus == (LeasedGpu(3, "GPU-6c0f", "NVIDIA H100 80GB HBM3"),)


def test_a_job_without_git_is_read() -> None:
    document = said(SAMPLES / "script-finished/job.json")
    assert Job.from_json({**document, "git": {}}, "job.json").git == Git()


def test_what_was_known_of_a_target_is_read() -> None:
    document = {"files": 12, "noisy": False, "ours": True, "root": "/p", "target": "gpu:/p"}
    assert TargetFacts.from_json(document, "facts") == TargetFacts(True, False, root="/p")
