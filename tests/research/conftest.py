"""The whole template, with every extra, and a server that runs its jobs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd
from tests.conftest import ROOT, SOCKET, Command, ProjectFolder, new_home
from tests.research import environment, warm_python
from tests.stores import empty_store

#: Parts of the repository that a job or a notebook of the template never needs.
LEFT_OUT = ("tests", "bench", "docs", ".ci")


class Laboratory(ProjectFolder):
    """A clone of the template with an environment of its own, all extras in it."""

    @property
    def bin(self) -> Path:
        """Where the programs of its environment lie."""
        return self.root / ".venv" / "bin"

    @contextmanager
    def warm(self, imports: Sequence[str]) -> Iterator[Laboratory]:
        """Itself; programs that are typed in it are copies of a Python that has imported these."""
        with warm_python.warm(self.bin / "python", imports, self.env):
            yield self

    def _finished(self, *words: str, **env: str) -> Command:
        return self._done(self.start(*words, **env), words, check=False)

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """`inv` of this project's own environment, started."""
        return self.popen(str(self.bin / "inv"), *words, **env)

    def popen(self, *argv: str, **env: str) -> subprocess.Popen[str]:
        """Any program, started as in a shell that activated the project's environment."""
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "VIRTUAL_ENV": str(self.root / ".venv")}
        return subprocess.Popen(
            argv,
            cwd=self.root,
            env={**os.environ, **own, **self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, *words: str, check: bool = True, **env: str) -> Command:
        """The project's Python in its root; fails the test on a non-zero exit unless told not to."""
        return self._done(self.popen(str(self.bin / "python"), *words, **env), words, check)

    def run_make(self, *words: str, **env: str) -> Command:
        """`make` with nothing but what the project has itself."""
        return self._done(self.popen("make", "-s", *words, **env), words, check=False)

    def _done(self, process: subprocess.Popen[str], words: tuple[str, ...], check: bool) -> Command:
        out, err = process.communicate(timeout=280)
        command = Command(process.returncode, out, err)
        if check and command.code:
            pytest.fail(f"{words} ended with {command.code}:\n{command.text}")
        return command


Make = Callable[[str], Laboratory]


@pytest.fixture(scope="session")
def research() -> Path:
    """The folder of the environment with every extra; skips where it can't be had."""
    try:
        return environment.made()
    except environment.Missing as reason:
        pytest.skip(f"the extras can't be installed here: {reason}")


@pytest.fixture(scope="session")
def research_python(research: Path) -> Path:
    """A Python that has every extra, and what else save_mlflow may be given."""
    return research / "venv" / "bin" / "python"


@pytest.fixture(scope="session")
def laboratory(research: Path, sshd: PrivateSshd, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes laboratories, each with a target of its own on the private server."""

    def make(name: str) -> Laboratory:
        root = tmp_path_factory.mktemp(name) / "project"
        copy_template(root)
        for lock in environment.lock_files(research):
            shutil.copy(lock, root)
        env = {
            # Also for what is run before a test has its own.
            **new_home(root.parent / "home"),
            "TARGET_DIR": f"gpu:{root.parent.name}",
            "REMOTE_SSH_CONFIG": str(sshd.config),
            "REMOTE_TMUX_SOCKET": SOCKET,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Torch's threads stall where others use the cores too.
            "OMP_NUM_THREADS": "1",
        }
        empty_store(root)
        environment.new(root / ".venv", research)
        environment.install(root / ".venv", "--no-deps", "-e", str(root))
        (root / ".venv" / ".ready").touch()
        return Laboratory(root, env)

    return make


def copy_template(root: Path) -> None:
    """What a clone of the repository would have, as it is on the disk now, committed anew."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if name.split("/")[0] not in LEFT_OUT and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "begin"]):
        who = ["-c", "user.name=A Tester", "-c", "user.email=tester@example.com"]
        subprocess.run(["git", *who, *words], cwd=root, check=True)
