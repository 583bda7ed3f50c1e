"""Where the measurements play: folders, a home and servers of their own, all gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remote.transport.ssh import Ssh
from scripts.sshd import ALIAS, PrivateSshd, running

ROOT = Path(__file__).parent.parent
DEMO = ROOT / ".demo"
INV = str(Path(sys.executable).with_name("inv"))

#: Settings of the user's that would change what is measured.
FOREIGN = ("TARGET_DIR", "REMOTE_", "MLFLOW_", "MAKE", "SSH_", "XDG_", "TMUX", "GIT_", "VIRTUAL_")


class Failed(Exception):
    """A command did not do what was to be timed."""


class Skipped(Exception):
    """A measurement can't be made here; the message says why."""


@dataclass(frozen=True)
class Stage:
    """A temporary folder with a home in it, and a second one with a short path, for sockets.

    `quick` asks for small inputs; `runs` is how many trials were asked for, 0 if none were.
    """

    folder: Path
    sockets: Path
    quick: bool = False
    runs: int = 0

    def trials(self, usual: int) -> int:
        """How many counted trials each side gets."""
        return self.runs or (min(usual, 3) if self.quick else usual)

    def size(self, usual: int) -> int:
        """How large an input is, a tenth of the usual where it should be quick."""
        return usual // 10 if self.quick else usual

    @contextlib.contextmanager
    def server(
        self, name: str, *, path: str = "", settings: Mapping[str, str] = {}
    ) -> Iterator[PrivateSshd]:
        """A private sshd, with a home in the stage's folder; `path` is where it finds programs."""
        folder = self.folder / name
        passed = {key: os.environ[key] for key in _PASSED if key in os.environ}
        settings = {**passed, **settings}
        made = PrivateSshd(folder / "sshd", folder / "server", settings=settings)
        made.path = path or made.path
        with running(made) as server:
            try:
                yield server
            finally:
                hang_up(server.config)


_PASSED = ("UV_CACHE_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


def hang_up(config: Path) -> None:
    """End the master connection of ours that uses this ssh_config."""
    Ssh(ALIAS, str(config)).close()


@contextlib.contextmanager
def stage(*, quick: bool, runs: int) -> Iterator[Stage]:
    """The stage, with this process and all it starts living on it."""
    DEMO.mkdir(exist_ok=True)
    (DEMO / "bench").mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(dir=DEMO / "bench", ignore_cleanup_errors=True)
        )
        # Paths of sockets must be short (104 bytes on macOS), which below a project they may not be.
        sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp"))
        made = Stage(Path(folder), Path(sockets), quick, runs)
        _move_in(made)
        yield made


def _move_in(made: Stage) -> None:
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    home = made.folder / "home"
    home.mkdir()
    os.environ.update(
        HOME=str(home),
        XDG_RUNTIME_DIR=str(made.sockets),
        UV_CACHE_DIR=str(DEMO / "uv-cache"),
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_CONFIG_SYSTEM=os.devnull,
        MLFLOW_DISABLE_TELEMETRY="true",
    )
    os.environ.setdefault("UV_SYSTEM_CERTS", "1")
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(["127.0.0.1", *filter(None, [os.environ.get(name)])])


def make_project(root: Path) -> Path:
    """A project with the template's tasks, ignore file and lock file, and no code."""
    root.mkdir(parents=True)
    for name in ("tasks.py", ".rsyncignore", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    return root


def run(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """What the command said; raises Failed with its last words."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise Failed(f"{' '.join(argv[:3])} ... ended with {done.returncode}:\n{last}")
    return done.stdout


def timed(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    expect: str = "",
) -> float:
    """Seconds from the command's start to its end; it must say `expect`."""
    start = time.perf_counter()
    said = run(argv, cwd=cwd, env=env)
    seconds = time.perf_counter() - start
    if expect not in said:
        raise Failed(f"{' '.join(argv[:3])} ... did not say {expect!r} but:\n{said[-800:]}")
    return seconds
