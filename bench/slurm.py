"""From Enter to a job's first line under Slurm, against `ssh host sbatch ...` by hand."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.job import FIRST, NOTEBOOK, PARAMETERS, commit
from bench.notebooks import write_notebook
from bench.report import Row
from bench.stage import INV, Failed, Stage, hang_up, make_project, run
from bench.turns import Pairs, alternate
from scripts.slurm import Cluster, running
from scripts.sshd import ALIAS, PrivateSshd

PATIENCE = 900.0  # seconds
OURS = "ours"

#: Both sides run the Python of this project, so that no environment is made.
DECLARED = f"""
[tool.remote]
launcher = "slurm"
python = "{sys.executable}"
gpus = 0
"""


def measure(stage: Stage) -> Iterator[Row]:
    """Both with the notebook and the environment there already, over a new login."""
    what = "to the first line that a notebook's first cell prints, under Slurm; inv remote-run"
    what += " (it pushes, too) / ssh host sbatch papermill, both cold"
    try:
        with running(stage.folder / "slurm") as cluster:
            yield Row("slurm", what, 1.25, _measure(stage, cluster))
    except FileNotFoundError as reason:
        yield Row("slurm", f"{what}; skipped: {reason}", 1.25)


def _measure(stage: Stage, cluster: Cluster) -> Pairs:
    settings = {"SLURM_CONF": cluster.env["SLURM_CONF"]}
    with stage.server("slurm-login", settings=settings) as server:
        project = make_project(stage.folder / "slurm-client" / "project")
        with open(project / "pyproject.toml", "a") as file:
            file.write(DECLARED)
        write_notebook(project / "src/notebooks" / NOTEBOOK, PARAMETERS, FIRST)
        commit(project)
        scene = Scene(project, server, cluster)
        # The first push sends all, and the first job has MLflow make an empty store.
        scene.ours()
        return alternate(scene.ours, scene.theirs, runs=stage.trials(9))


@dataclass(frozen=True)
class Scene:
    """A project, its login node, and the two ways to have a notebook run on the cluster."""

    project: Path
    server: PrivateSshd
    cluster: Cluster

    def ours(self) -> float:
        """`inv remote-run`, as its user types it."""
        argv = [INV, "remote-run", NOTEBOOK, "--epoch", "1", "--mark"]
        config = str(self.server.config)
        env = {"TARGET_DIR": f"{ALIAS}:{OURS}", "REMOTE_SSH_CONFIG": config}
        hang_up(self.server.config)
        return self._trial(lambda mark: run([*argv, str(mark)], cwd=self.project, env=env))

    def theirs(self) -> float:
        """The same by hand, in the environment that our jobs use."""
        return self._trial(lambda mark: run(self._by_hand(mark)))

    def _by_hand(self, mark: Path) -> list[str]:
        papermill = [sys.executable, "-m", "papermill"]
        job = [*papermill, NOTEBOOK, "out.ipynb", "-p", "epoch", "1", "-p", "mark", str(mark)]
        words = ["sbatch", "--output=/dev/null", f"--wrap={shlex.join(job)}"]
        typed = f"cd {OURS}/src/notebooks && {shlex.join(words)}"
        return ["ssh", "-F", str(self.server.config), ALIAS, typed]

    def _trial(self, start: Callable[[Path], object]) -> float:
        """Seconds from the start of the command to the job's line; the job's end is waited for."""
        mark = self.server.folder / f"mark-{time.monotonic_ns()}"
        began, deadline = time.time(), time.monotonic() + PATIENCE
        start(mark)
        while self.cluster.run("squeue", "-h"):
            if time.monotonic() > deadline:
                raise Failed(f"the job did not end in {PATIENCE:.0f} s")
            time.sleep(0.2)
        if not mark.exists():
            raise Failed(f"the job printed nothing\n{self._last_words()}")
        return float(mark.read_text().split()[0]) - began

    def _last_words(self) -> str:
        logs = sorted((self.server.home / OURS).glob(".remote/jobs/*/log"))
        return logs[-1].read_text()[-800:] if logs else ""
