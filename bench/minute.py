"""A notebook of one minute as a job, against the bare papermill command on the same machine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.notebooks import write_notebook
from bench.report import Row
from bench.stage import INV, Stage, make_project, timed
from bench.turns import alternate
from scripts.sshd import ALIAS, PrivateSshd

NOTEBOOK = "minute.ipynb"
TARGET = "minute"

#: Works and waits in turn for so many seconds, and prints as a training does.
WORK = """\
import time
end = time.monotonic() + seconds
epoch = 0
while time.monotonic() < end:
    epoch += 1
    sum(number * number for number in range(200_000))
    time.sleep(max(0.0, min(0.5, end - time.monotonic())))
    print("epoch", epoch, flush=True)
"""


def measure(stage: Stage) -> Iterator[Row]:
    """From start to end; the environment is there already."""
    seconds = stage.size(60)
    with stage.server("minute") as server:
        project = make_project(stage.folder / "minute" / "project")
        folder = project / "src" / "notebooks"
        write_notebook(folder / NOTEBOOK, f"seconds = {seconds}", WORK)
        ours = Ours(project, server)
        try:
            # The first job makes the environment and the MLflow store.
            ours.run("1")
            papermill = next((server.home / TARGET).glob(".remote/envs/*/bin/papermill"))
            argv = [str(papermill), NOTEBOOK, str(stage.folder / "minute" / "out.ipynb")]
            pairs = alternate(
                lambda: ours.run(str(seconds)),
                lambda: timed(argv, cwd=folder),
                runs=stage.trials(3),
                warm_ups=0,
            )
        finally:
            ours.end()
    what = f"a notebook of {seconds} s, from start to end: inv remote-run --follow over a warm"
    yield Row("minute", f"{what} connection / papermill on the server itself", 1.05, pairs)


class Ours:
    """Jobs of one notebook, followed to their end."""

    def __init__(self, project: Path, server: PrivateSshd) -> None:
        self.project = project
        self.socket = f"bench-minute-{id(self)}"
        self.env = {
            "TARGET_DIR": f"{ALIAS}:{TARGET}",
            "REMOTE_SSH_CONFIG": str(server.config),
            "REMOTE_TMUX_SOCKET": self.socket,
        }

    def run(self, seconds: str) -> float:
        """Seconds that it took, as its user sees it."""
        argv = [INV, "remote-run", NOTEBOOK, "--seconds", seconds, "--follow"]
        return timed(argv, cwd=self.project, env=self.env, expect="finished, exit code 0")

    def end(self) -> None:
        """End the tmux server, should a job still hold it."""
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True)
