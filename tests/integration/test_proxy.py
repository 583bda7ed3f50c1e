"""A server that can't reach the internet installs through the laptop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd, find, running
from tests.conftest import SOCKET, ProjectFolder, make_project, share_stores

pytestmark = pytest.mark.timeout(300)

#: Nothing listens there.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateSshd]:
    """A server whose way to the internet is broken, and that has no package in store."""
    try:
        find()
    except FileNotFoundError:
        pytest.skip("sshd is not installed: sudo apt-get install openssh-server")
    names = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
    settings = dict.fromkeys(names, NOWHERE)
    settings["UV_CACHE_DIR"] = str(tmp_path / "no cache")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if name in os.environ:
            settings[name] = os.environ[name]
    made = PrivateSshd(tmp_path / "sshd", tmp_path / "home there", settings=settings)
    share_stores(made.home)
    with running(made):
        yield made


@pytest.fixture
def project(tmp_path: Path, server: PrivateSshd) -> Iterator[ProjectFolder]:
    socket = f"{SOCKET}-proxy"
    made = make_project(
        tmp_path / "project",
        TARGET_DIR="gpu:proj",
        REMOTE_SSH_CONFIG=str(server.config),
        REMOTE_TMUX_SOCKET=socket,
    )
    made.write("requirements.lock", locked("six==1.17.0", tmp_path))
    yield made
    subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True)


def locked(name: str, folder: Path) -> str:
    """A lock file of one package, with its hashes."""
    (folder / "in.txt").write_text(name)
    uv = Path(sys.executable).with_name("uv")
    argv = [str(uv), "pip", "compile", "-q", "--generate-hashes", "--no-header", "in.txt"]
    done = subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def test_the_environment_is_made_through_this_machine(
    project: ProjectFolder, server: PrivateSshd
) -> None:
    words = (
        "remote-run",
        "--follow",
        "--",
        "python",
        "-c",
        "import six; print('six', six.__name__)",
    )
    alone = project.inv(*words, check=False, REMOTE_PROXY="")
    assert alone.code == 1 and "six six" not in alone.out
    done = project.inv(*words, REMOTE_PROXY="laptop")
    assert "six six" in done.out and "through this machine" in done.err
    # The password went when it was not needed any more, and is written nowhere.
    jobs = server.home / "proj/.remote/jobs"
    assert not list(jobs.glob("*/proxy"))
    for file in jobs.rglob("*"):
        assert not file.is_file() or b"remote:" not in file.read_bytes(), file
    # The environment is there now: nothing has to stay connected.
    again = project.inv(*words, REMOTE_PROXY="laptop")
    assert "six six" in again.out and "through this machine" not in again.err
