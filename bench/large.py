"""Pushes of a large tree with large files, against rsync over the same warm connection."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.pulls import MEMORY
from bench.report import Row
from bench.stage import INV, Failed, Stage, make_project, run
from bench.turns import Pairs, Side, Trial, alternate
from remote.transport.rsync_dialect import dialect
from remote.transport.rsync_filters import push_filters
from remote.transport.ssh import Ssh
from scripts.sshd import ALIAS

FILES, FOLDERS = 200_000, 2_000
SPARSE = 20  # files of one gigabyte each, in data/raw

OURS, THEIRS = "ours", "theirs"


def measure(stage: Stage) -> Iterator[Row]:
    """The first push, one with nothing to send, and one of a single file that was edited."""
    files = stage.size(FILES)
    with stage.server("large") as server:
        project = _project(stage.folder / "large" / "project", files)
        scene = Scene(project, server.home, server.config)
        run(["ssh", *Ssh(ALIAS, str(server.config)).options(), ALIAS, "true"])
        size = f"{files} small files in {FOLDERS} folders; inv sync-push / rsync -az --delete, both over"
        size += " the same warm connection"
        pairs = alternate(scene.ours_first, scene.theirs_first, runs=stage.trials(3), warm_ups=0)
        yield Row("large first", f"the first push of {size}", 1.2, pairs)
        for root in (scene.project, *scene.folders()):
            _add_sparse(root / "data" / "raw", stage.size(SPARSE))
        size = f"{stage.size(SPARSE)} GB in sparse files and {size}"
        pairs = alternate(scene.ours, scene.theirs, runs=stage.trials(5))
        yield Row("large nothing", f"nothing to send of {size}", 1.15, pairs)
        pairs = alternate(scene.ours_edited, scene.theirs_edited, runs=stage.trials(5))
        yield Row("large changed", f"one edited file of {size}", 1.25, pairs)
        pairs = alternate(scene.theirs_late, scene.theirs, runs=stage.trials(5))
        what = "of both, with rsync's own: nothing to send by hand, with --delay-updates (a push that is"
        what += " cut off changes nothing: it looks for a begun copy of each file) and all that a"
        what += " push leaves out (secrets by a hundred names, what jobs write), and Python's start"
        yield Row("large limit", f"{what} / with .rsyncignore alone", 1.15, pairs)
    what = f"the most memory that the client or one of its programs took for these / {MEMORY} MB"
    memory = Pairs(Side([max(scene.memory)]), Side([float(MEMORY)]))
    yield Row("large-client", what, 1, memory, unit="MB")


class Scene:
    """A large project, and the two ways to push it."""

    def __init__(self, project: Path, home: Path, config: Path) -> None:
        self.project = project
        self.home = home
        self.memory: list[float] = []
        self.config = str(config)
        self.number = 0

    def folders(self) -> tuple[Path, Path]:
        """Where the last first pushes went, ours and theirs."""
        return self.home / f"{OURS}-{self.number}", self.home / f"{THEIRS}-{self.number}"

    def ours_first(self) -> float:
        """To a target that nobody has pushed to."""
        for folder in self.folders():
            shutil.rmtree(folder, ignore_errors=True)
        self.number += 1
        # Neither waits for what was written before.
        os.sync()
        return self.ours()

    def theirs_first(self) -> float:
        os.sync()
        return self.theirs()

    def ours(self) -> float:
        target = f"{ALIAS}:{self.folders()[0].name}"
        settings = {"TARGET_DIR": target, "REMOTE_SSH_CONFIG": self.config}
        seconds, megabytes = _timed([INV, "sync-push"], self.project, settings)
        self.memory.append(megabytes)
        return seconds

    def theirs(
        self, *options: str, left: Sequence[str] = ("--exclude-from=.rsyncignore",)
    ) -> float:
        """What one types who mirrors a project, with the project's list of what to leave."""
        # To look for what is to be deleted takes nearly half as long again, and we do that, too.
        argv = ["rsync", "-az", "--delete", *left, *options]
        argv += ["-e", Ssh(ALIAS, self.config).rsh(), "./", f"{ALIAS}:{self.folders()[1].name}/"]
        return _timed(argv, self.project, {})[0]

    def theirs_late(self) -> float:
        left = push_filters(self.project, negates=dialect().negates)
        start = [sys.executable, "-c", "import remote.tasks.sync, remote.operations.sync"]
        return self.theirs("--delay-updates", left=left) + _timed(start, self.project, {})[0]

    def ours_edited(self) -> float:
        return self._edited(self.ours, self.folders()[0])

    def theirs_edited(self) -> float:
        return self._edited(self.theirs, self.folders()[1])

    def _edited(self, push: Trial, folder: Path) -> float:
        edited = _file(self.project, 7)
        edited.write_text(f"VALUES = {time.time_ns()}\n")
        seconds = push()
        arrived = folder / edited.relative_to(self.project)
        if arrived.read_bytes() != edited.read_bytes():
            raise Failed(f"the edited file is not in {folder}")
        return seconds


def _timed(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[float, float]:
    """Seconds, and the peak memory in MB of the process or of one that it waited for."""
    start = time.perf_counter()
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(argv, cwd=cwd, env={**os.environ, **env}, stdout=null)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{argv[:3]} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def _project(root: Path, files: int) -> Path:
    make_project(root)
    for number in range(FOLDERS):
        _file(root, number).parent.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        _file(root, number).write_text(f"VALUES = {list(range(number % 97))}\n")
    return root


def _file(root: Path, number: int) -> Path:
    return root / "src" / f"package_{number % FOLDERS:04}" / f"module_{number:06}.py"


def _add_sparse(folder: Path, count: int) -> None:
    """The same on both sides, since none of it is to be sent."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for number in range(count):
        with open(folder / f"{number:02}.bin", "wb") as file:
            file.truncate(1 << 30)
        os.utime(file.name, (1_700_000_000, 1_700_000_000))
