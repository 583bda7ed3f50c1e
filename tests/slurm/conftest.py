"""A target whose jobs are Slurm's, and what is asked of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.agent import environments, launchers, target_dir
from remote.agent.environments import COMPLETE
from remote.agent.job_state import state_of
from remote.agent.jobs import submit
from remote.agent.launchers import squeue
from remote.job.messages.jobs import SubmitRequest
from remote.job.messages.target import PrepareRequest
from remote.job.paths import CACHE, JobPaths
from remote.job.spec import JobSpec
from remote.job.status import ENDED, JobStatus
from remote.rpc import bundle
from remote.tracking.empty_store import made_here
from scripts.slurm import Cluster, running
from tests.agent.job_folder import KEY
from tests.conftest import STORES
from tests.waiting import until


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One Slurm for all tests."""
    try:
        with running(tmp_path_factory.mktemp("slurm")) as cluster:
            yield cluster
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent's file, which is the worker too."""
    file = tmp_path_factory.mktemp("agent") / "agent.zip"
    file.write_bytes(bundle.packed(bundle.contents()))
    return file


class Target:
    """A target that was pushed to, with an environment that is there."""

    def __init__(self, root: Path, cluster: Cluster, agent: Path) -> None:
        self.root, self.cluster, self.agent = root, cluster, agent

    def enter(self, patch: pytest.MonkeyPatch) -> None:
        """Be the agent on its login node."""
        for name, value in {**self.cluster.env, "HOME": str(self.root.parent / "home")}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", [str(self.agent)])
        squeue.forget()

    def prepare(self) -> None:
        self.root.mkdir()
        target_dir.prepare(PrepareRequest(path=str(self.root), key=KEY, project="a" * 32))
        (self.root / ".remote/tree.lock").touch()
        # What a laptop brings to a server whose environments may have no MLflow.
        made_here()
        self.write("requirements.lock", "mlflow==3.0\n")
        env = environments.of(self.root, self.root).folder
        (env / "bin").mkdir(parents=True)
        python = env / "bin/python"
        # With the packages of the tests' own environment.
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        (env / COMPLETE).touch()

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def start(self, script: str, **asked: Any) -> JobPaths:
        """Submit a line of the shell."""
        spec = {"kind": "command", "source": "", "name": "train", "record": False}
        words = ("sh", "-c", script)
        return self.submit(JobSpec(**{**spec, "arguments": words, "gpus": 0, **asked}))

    def submit(self, job: JobSpec) -> JobPaths:
        answer = submit.submit(SubmitRequest(key=KEY, job=job, launcher="slurm"))
        return JobPaths(self.root, answer.id)

    def number(self, paths: JobPaths) -> str:
        """What Slurm calls a job."""
        launched = launchers.read(paths, None)
        assert launched is not None
        return str(launched.handle["job"])

    def became(self, paths: JobPaths, *states: str) -> JobStatus:
        """The status of a job, once it is in one of these states; without any, once it has ended."""
        return until(lambda: state_of(paths), lambda status: status.state in (states or ENDED))


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, started: Cluster, agent: Path) -> Target:
    """One target for all tests, in a home of its own."""
    folder = tmp_path_factory.mktemp("place")
    # Each account keeps an empty store of MLflow's; the tests share one.
    stores = folder / "home" / CACHE / "stores"
    stores.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    STORES.mkdir(exist_ok=True)
    stores.symlink_to(STORES)
    target = Target(folder / "my target's $(x) 日本", started, agent)
    with pytest.MonkeyPatch.context() as patch:
        target.enter(patch)
        target.prepare()
    return target


@pytest.fixture
def target(place: Target, monkeypatch: pytest.MonkeyPatch) -> Target:
    """The same, asked by this test."""
    place.enter(monkeypatch)
    return place
