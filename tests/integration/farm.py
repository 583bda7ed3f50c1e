"""A server in a folder of this machine: real tmux, a fake nvidia-smi, an environment in no time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.conftest import ProjectFolder, make_project, new_home, share_stores
from tests.fakegpu import FakeGpus
from tests.waiting import until


@contextmanager
def farm_in(folder: Path, *, gpus: int = 4) -> Iterator[Farm]:
    """A project whose target is a folder of this machine with so many GPUs."""
    if not shutil.which("tmux") or not shutil.which("rsync"):
        pytest.skip("rsync or tmux is not installed: sudo apt-get install rsync tmux")
    made = Farm(folder, gpus)
    try:
        yield made
    finally:
        subprocess.run(["tmux", "-L", made.socket, "kill-server"], capture_output=True)


@contextmanager
def resident_farm(folder: Path, *, gpus: int = 4) -> Iterator[Farm]:
    """A farm whose project lives with one home, whichever test types in it."""
    home = new_home(folder / "home")
    with mock.patch.dict(os.environ, home), farm_in(folder, gpus=gpus) as farm:
        farm.project.env.update(home)
        yield farm


class Farm:
    """A project with an empty lock file, so that its environment is made in no time."""

    def __init__(self, folder: Path, gpus: int = 4) -> None:
        self.root = folder / "server" / "proj"
        self.leases = folder / "leases"
        self.gate = folder / "gate"
        #: What a job's script waits with until `open_gate`: no test guesses how long a machine takes.
        self.wait = f"until test -e '{self.gate}'; do sleep 0.1; done"
        share_stores(Path.home())
        self.leases.mkdir()
        self.leases.chmod(0o1777)
        self.socket = f"remote-test-{os.getpid()}-{folder.name[-12:]}"
        self.gpus = FakeGpus(folder / "gpus", count=gpus)
        self.project = self.client(folder / "project")
        self.setup()

    def client(self, root: Path, target: Path | None = None) -> ProjectFolder:
        """One more project, as a colleague would have it, with a target of its own."""
        made = make_project(
            root,
            TARGET_DIR=str(target or self.root),
            REMOTE_TMUX_SOCKET=self.socket,
            REMOTE_LEASES=str(self.leases),
            PATH=self.gpus.path(),
        )
        made.write("requirements.lock", "")
        return made

    def setup(self) -> None:
        self.project.inv("remote-setup")

    def submit(self, script: str, *flags: str, client: ProjectFolder | None = None) -> str:
        done = (client or self.project).inv("remote-run", *flags, "--", "sh", "-c", script)
        return done.out.strip().splitlines()[-1]

    def open_gate(self) -> None:
        self.gate.touch()

    def close_gate(self) -> None:
        self.gate.unlink()

    def status(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file(job, "status.json").read_text())
        return found

    def file(self, job: str, name: str) -> Path:
        """A file of a job, on whichever target of this server it is."""
        found = [root / ".remote/jobs" / job for root in self.root.parent.iterdir()]
        return next((folder for folder in found if folder.is_dir()), found[0]) / name

    def log(self, job: str) -> str:
        return self.file(job, "log").read_text()

    def until(self, job: str, *states: str) -> dict[str, Any]:
        """Wait for one of these states."""
        # Of one that is just starting, there is none yet.
        file = self.file(job, "status.json")
        return until(
            lambda: self.status(job) if file.exists() else {},
            lambda found: found.get("state") in states,
        )
