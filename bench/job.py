"""From Enter to a job's first line, against `ssh host tmux new -d papermill ...` by hand."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.notebooks import write_notebook
from bench.report import Row
from bench.stage import INV, Failed, Stage, make_project, run
from bench.turns import alternate
from remote.agent.processes import alive
from remote.job.status import JobStatus
from scripts.sshd import ALIAS, PrivateSshd

NOTEBOOK = "first.ipynb"
OURS, THEIRS = "ours", "theirs"

PARAMETERS = 'epoch: int = 20\nmark: str = ""'

#: Client and server share a clock here, so the kernel itself says when its line was out.
FIRST = """\
import time
print("epoch", epoch, flush=True)
with open(mark, "a") as file:
    file.write(f"{time.time()}\\n")
"""

PATIENCE, END_LIMIT = 900.0, 20.0  # seconds

#: Starts a job which writes the time to this file.
Starter = Callable[[Path], object]


def measure(stage: Stage) -> Iterator[Row]:
    """Both with the notebook, the code and the environment there already."""
    with stage.server("job") as server:
        scene = _scene(stage, server)
        try:
            # The first job makes the environment and the MLflow store.
            scene.ours()
            _copy(scene)
            pairs = alternate(scene.ours, scene.theirs, runs=stage.trials(7))
        finally:
            scene.end()
    what = "to the first line that a notebook's first cell prints, warm environment; inv remote-run"
    what += " (it pushes, too) over a warm connection / ssh host tmux new -d papermill, cold ssh,"
    yield Row("job", f"{what} code there already", 1.25, pairs)


@dataclass(frozen=True)
class Scene:
    """A project, its server, and the two ways to start its notebook there."""

    project: Path
    server: PrivateSshd
    marks: Path

    def ours(self) -> float:
        """`inv remote-run`, as its user types it."""
        argv = [INV, "remote-run", NOTEBOOK, "--epoch", "1", "--mark"]
        env = {
            "TARGET_DIR": f"{ALIAS}:{OURS}",
            "REMOTE_SSH_CONFIG": str(self.server.config),
            "REMOTE_TMUX_SOCKET": _socket(OURS),
        }
        return self._trial(OURS, lambda mark: run([*argv, str(mark)], cwd=self.project, env=env))

    def theirs(self) -> float:
        """The same by hand, in the environment that our jobs use."""
        return self._trial(THEIRS, lambda mark: run(self._by_hand(mark)))

    def _by_hand(self, mark: Path) -> list[str]:
        papermill = next((self.server.home / OURS).glob(".remote/envs/*/bin/papermill"))
        job = [str(papermill), NOTEBOOK, "out.ipynb", "-p", "epoch", "1", "-p", "mark", str(mark)]
        tmux = ["tmux", "-L", _socket(THEIRS), "new", "-d", shlex.join(job)]
        typed = f"cd {THEIRS}/src/notebooks && {shlex.join(tmux)}"
        return ["ssh", "-F", str(self.server.config), ALIAS, typed]

    def _trial(self, name: str, start: Starter) -> float:
        """Seconds from the start of the command to the job's line; the job's end is waited for."""
        mark = self.marks / f"{time.monotonic_ns()}"
        began = time.time()
        start(mark)
        while not mark.exists() and _running(name):
            # Looking costs little next to a job that starts, but not nothing.
            _pause(1.0, until=mark)
        _wait_for_end(name)
        lines = mark.read_text().splitlines() if mark.exists() else []
        if len(lines) != 1:
            raise Failed(f"the job ({name}) printed nothing\n{self._last_words()}")
        return float(lines[0]) - began

    def _last_words(self) -> str:
        logs = sorted((self.server.home / OURS).glob(".remote/jobs/*/log"))
        return logs[-1].read_text()[-800:] if logs else ""

    def end(self) -> None:
        """End what still runs, and wait for our workers, which end their jobs themselves."""
        for name in (OURS, THEIRS):
            subprocess.run(["tmux", "-L", _socket(name), "kill-server"], capture_output=True)
            with contextlib.suppress(OSError):
                Path(f"/tmp/tmux-{os.getuid()}", _socket(name)).unlink()
        deadline = time.monotonic() + END_LIMIT
        while self._working() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _working(self) -> bool:
        files = (self.server.home / OURS).glob(".remote/jobs/*/status.json")
        statuses = (JobStatus.from_file(file) for file in files)
        return any(alive(status.worker) for status in statuses if status)


def _socket(name: str) -> str:
    return f"bench-{name}-{os.getpid()}"


def _scene(stage: Stage, server: PrivateSshd) -> Scene:
    folder = stage.folder / "job"
    project = make_project(folder / "project")
    notebook = project / "src" / "notebooks" / NOTEBOOK
    write_notebook(notebook, PARAMETERS, FIRST)
    commit(project)
    (folder / "marks").mkdir()
    return Scene(project, server, folder / "marks")


def commit(project: Path) -> None:
    """A project is a git repository, which every job looks at."""
    who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "All"]):
        run(["git", *words], cwd=project)


def _copy(scene: Scene) -> None:
    shutil.copytree(scene.project, scene.server.home / THEIRS)


def _pause(seconds: float, *, until: Path) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not until.exists():
        time.sleep(0.02)


def _wait_for_end(name: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while _running(name):
        if time.monotonic() > deadline:
            raise Failed(f"the job ({name}) did not end in {PATIENCE:.0f} s")
        time.sleep(0.1)


def _running(name: str) -> bool:
    """A tmux server ends with its last session, and a session with its job."""
    argv = ["tmux", "-L", _socket(name), "list-sessions"]
    return subprocess.run(argv, capture_output=True).returncode == 0
