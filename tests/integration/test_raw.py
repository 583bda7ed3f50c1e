"""data/raw is read-only to jobs, here and on a server whose account permission bits hold."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd, running
from tests.conftest import INV, UV_CACHE, ProjectFolder, make_project, share_stores
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)

#: Root without what lets it pass over permission bits: as any other account.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]

TRIES = """
import os, time
from pathlib import Path

raw = Path("data/raw")
for action in (
    lambda: (raw / "a.csv").write_text("changed"),
    lambda: (raw / "new.csv").write_text("new"),
    lambda: (raw / "a.csv").unlink(),
    lambda: (raw / "a.csv").rename(raw / "b.csv"),
    lambda: os.rmdir(raw / "empty"),
):
    try:
        action()
    except PermissionError:
        print("refused", flush=True)
    else:
        print("done", flush=True)
Path("data/processed/a.csv").write_text((raw / "a.csv").read_text())
"""

WAITS = TRIES + """
while not Path("data/processed/go").exists():
    time.sleep(0.02)
seen = Path("data/raw/more/b.csv").read_text()
try:
    Path("data/raw/more/b.csv").write_text("changed")
except PermissionError:
    print("refused after the push of", seen)
"""


def ordinary() -> list[str]:
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("permission bits don't hold root, and setpriv is not installed")
    return ORDINARY


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    """An sshd whose account is no root, or root that permission bits hold."""
    folder = tmp_path_factory.mktemp("ordinary")
    shell = folder / "shell"
    shell.write_text(f'#!/bin/sh\nexec {" ".join([*ordinary(), "/bin/bash"])} "$@"\n')
    shell.chmod(0o755)
    settings = {"UV_CACHE_DIR": str(UV_CACHE)}
    share_stores(folder / "home")
    with running(PrivateSshd(folder, folder / "home", str(shell), settings=settings)) as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, server: PrivateSshd) -> Iterator[ProjectFolder]:
    """A project with an empty lock file, so that its environment is made in no time."""
    socket = f"remote-raw-{os.getpid()}"
    share_stores(Path.home())
    made = make_project(
        tmp_path / "project",
        TARGET_DIR=f"gpu:{tmp_path.name}",
        REMOTE_SSH_CONFIG=str(server.config),
        REMOTE_TMUX_SOCKET=socket,
    )
    made.write("requirements.lock", "")
    made.write("data/raw/a.csv", "measured").chmod(0o664)
    (made.root / "data/raw/empty").mkdir()
    (made.root / "data/processed").mkdir()
    yield made
    subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True)


@pytest.fixture
def there(project: ProjectFolder, server: PrivateSshd) -> Path:
    """The project's target, seen from this machine."""
    return server.home / project.env["TARGET_DIR"].partition(":")[2]


def modes(root: Path) -> dict[str, int]:
    top = root / "data/raw"
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (top, *top.rglob("*"))}


def pushed(project: ProjectFolder) -> dict[str, int]:
    """Nobody else may write to what a push sends."""
    return {name: mode & ~0o022 for name, mode in modes(project.root).items()}


def log(project: ProjectFolder, job: str) -> str:
    return project.inv("remote-logs", job).out


def test_a_job_can_only_read_and_a_push_still_writes(project: ProjectFolder, there: Path) -> None:
    project.write("src/tries.py", WAITS)
    words = ["remote-run", "src/tries.py", "--gpus", "0"]
    job = project.inv(*words).out.strip().splitlines()[-1]
    until(lambda: log(project, job), lambda text: text.count("refused") == 5)
    assert not any(mode & 0o222 for mode in modes(there).values())
    project.write("data/raw/more/b.csv", "more")
    project.write("data/raw/a.csv", "measured again")
    project.inv("sync-push")
    until(lambda: modes(there), lambda found: not any(mode & 0o222 for mode in found.values()))
    (there / "data/processed/go").touch()
    project.inv("remote-wait", job)
    assert "done" not in log(project, job)
    assert "refused after the push of more" in log(project, job)
    assert (there / "data/processed/a.csv").read_text() == "measured"
    assert (there / "data/raw/a.csv").read_text() == "measured again"
    assert modes(there) == pushed(project)


def test_a_stopped_job_leaves_it_writable(project: ProjectFolder, there: Path) -> None:
    job = project.inv("remote-run", "--gpus", "0", "--", "sleep", "600").out.strip()
    until(lambda: modes(there)["raw"] & 0o222, lambda bits: not bits)
    project.inv("remote-stop", job.splitlines()[-1])
    assert modes(there) == pushed(project)


def test_a_run_here_can_only_read(project: ProjectFolder) -> None:
    project.write("src/tries.py", TRIES)
    before = modes(project.root)
    argv = [*ordinary(), str(INV), "run", "src/tries.py"]
    done = subprocess.run(argv, cwd=project.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("refused") == 5 and "done" not in done.stdout
    assert modes(project.root) == before
