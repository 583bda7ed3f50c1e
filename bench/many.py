"""Many jobs: a list of thousands, and how long each of fifty takes to be submitted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.report import Row
from bench.stage import INV, Failed, Stage, make_project, run, timed
from bench.turns import Pairs, alternate
from remote.config import Project
from remote.operations.jobs.run_options import RunOptions
from remote.operations.jobs.submission import Submission
from remote.operations.jobs.submit import describe
from remote.programs.program import Command
from remote.session import TargetSession
from remote.target import Target
from scripts.sshd import ALIAS, PrivateSshd

FEW, MANY = 10, 5000
SUBMITTED = 50


def measure(stage: Stage) -> Iterator[Row]:
    """Both over a warm connection to a real sshd."""
    with stage.server("many") as server:
        project = make_project(stage.folder / "many" / "project")
        # Nothing that a job of this measurement runs needs a package.
        (project / "requirements.lock").write_text("")
        scene = Scene(project, server)
        try:
            yield scene.listing(stage)
            yield scene.submitting(stage)
        finally:
            scene.end()


class Scene:
    """A project with two targets on one server."""

    def __init__(self, project: Path, server: PrivateSshd) -> None:
        self.project = project
        self.server = server
        self.settings = {
            "REMOTE_SSH_CONFIG": str(server.config),
            "REMOTE_TMUX_SOCKET": f"bench-many-{os.getpid()}",
        }

    def inv(self, target: str, *words: str) -> str:
        env = {**self.settings, "TARGET_DIR": f"{ALIAS}:{target}"}
        return run([INV, *words], cwd=self.project, env=env)

    def listing(self, stage: Stage) -> Row:
        """`inv remote-ps` where few jobs have ended, and where many have."""
        for target, count in (("few", FEW), ("many", stage.size(MANY))):
            self.inv(target, "remote-run", "--follow", "--", "true")
            self._multiply(self.server.home / target / ".remote" / "jobs", count)
        pairs = alternate(
            lambda: self._listed("many"),
            lambda: self._listed("few"),
            runs=stage.trials(15),
            warm_ups=2,
        )
        what = f"inv remote-ps with {stage.size(MANY)} finished jobs / with {FEW}"
        return Row("ps", what, 1.5, pairs)

    def _listed(self, target: str) -> float:
        env = {**self.settings, "TARGET_DIR": f"{ALIAS}:{target}"}
        return timed([INV, "remote-ps"], cwd=self.project, env=env, expect="finished")

    def _multiply(self, folder: Path, count: int) -> None:
        """Copies of a real job's folder, as old jobs would lie there."""
        [made] = folder.iterdir()
        asked = json.loads((made / "job.json").read_text())
        for number in range(count - 1):
            name = f"20250101-{number:06d}-true-{number:04x}"
            copy = folder / name
            shutil.copytree(made, copy, symlinks=True, ignore=shutil.ignore_patterns("code"))
            (copy / "job.json").write_text(json.dumps({**asked, "id": name}))

    def submitting(self, stage: Stage) -> Row:
        """Fifty jobs, one after the other, that wait for one that runs."""
        target = Target.parse(f"{ALIAS}:few")
        server = TargetSession.of(Project(self.project, self.settings), target)
        blocker = self.submit(server, RunOptions(gpus=0), "sleep", "600")
        options = RunOptions(gpus=0, after=blocker)
        seconds = [self.submitted(server, options, "true") for _ in range(stage.size(SUBMITTED))]
        pairs = Pairs()
        pairs.ours.trials += seconds
        pairs.theirs.trials.append(1.0)
        what = f"each of {len(seconds)} jobs submitted one after the other (frozen code, a worker"
        what += " that lives and waits in line) over a warm connection / one second"
        return Row("submit", what, 0.15, pairs)

    def submitted(self, server: TargetSession, options: RunOptions, *words: str) -> float:
        """Seconds that a job takes to be submitted."""
        began = time.perf_counter()
        self.submit(server, options, *words)
        return time.perf_counter() - began

    def submit(self, server: TargetSession, options: RunOptions, *words: str) -> str:
        """Submit a job, and nothing else; its id."""
        job = describe(server.project, Command(words), {}, options=options)
        with contextlib.ExitStack() as way:
            submitted = Submission(server, words, way).ask(job, "")
        if not submitted.environment_ready:
            raise Failed("a submission had more to do: its environment is made first")
        return submitted.id

    def end(self) -> None:
        """End the workers that wait."""
        socket = self.settings["REMOTE_TMUX_SOCKET"]
        subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True)
        time.sleep(1)
