"""Login shells that are not bash, and start-up files that print where they should not."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd, running
from tests.conftest import SOCKET, ProjectFolder, share_stores
from tests.integration.terminal import inv_in_terminal

STARTUP = {
    "bash": ".bashrc",
    "zsh": ".zshenv",
    "fish": ".config/fish/config.fish",
    "tcsh": ".tcshrc",
    "csh": ".cshrc",
    "dash": None,
}
BANNER = "echo 'Welcome to the cluster. Scheduled maintenance: never.'\n"


@pytest.fixture
def server(sshd: PrivateSshd, tmp_path: Path, request) -> Iterator[PrivateSshd]:
    """A server whose account has another login shell, with a home of its own."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"{request.param} is not installed: sudo apt-get install {request.param}")
    own = dataclasses.replace(
        sshd, folder=tmp_path / "sshd", home=tmp_path / "server", shell=shell, port=0
    )
    share_stores(own.home)
    with running(own):
        yield own


def write_startup(server: PrivateSshd, text: str) -> None:
    """Have the account's shell do this whenever it begins."""
    startup = server.home / str(STARTUP[Path(server.shell).name])
    startup.parent.mkdir(parents=True, exist_ok=True)
    startup.write_text(text)


def with_tmux(server: PrivateSshd, target: str, name: str, request) -> dict[str, str]:
    """Settings for jobs there, in a tmux server of their own: it has the home of whoever started it."""
    socket = f"{SOCKET}-{name}"
    end = ["tmux", "-L", socket, "kill-server"]
    request.addfinalizer(lambda: subprocess.run(end, capture_output=True))
    return {
        "REMOTE_SSH_CONFIG": str(server.config),
        "TARGET_DIR": target,
        "REMOTE_TMUX_SOCKET": socket,
    }


def push_and_list(project: ProjectFolder, server: PrivateSshd) -> None:
    project.write("src/a b.py", "1")
    project.write("src/gone.py", "1")
    settings = {"REMOTE_SSH_CONFIG": str(server.config), "TARGET_DIR": "gpu:it's a $HOME"}
    project.inv("sync-push", **settings)
    (project.root / "src/gone.py").unlink()
    done = project.inv("sync-push", **settings)
    assert "1 deleted" in done.out
    assert ": 0 files" in project.inv("sync-push", **settings).out
    root = server.home / "it's a $HOME"
    assert (root / "src/a b.py").read_text() == "1"
    (root / "data/results/notebooks").mkdir()
    (root / "data/results/notebooks/x.ipynb").write_text("result")
    project.inv("sync-pull", **settings)
    assert (project.root / "data/results/notebooks/x.ipynb").read_text() == "result"
    assert "No job on" in project.inv("remote-ps", **settings).err


@pytest.mark.parametrize("server", STARTUP, indirect=True)
def test_any_login_shell_works(project: ProjectFolder, server: PrivateSshd) -> None:
    push_and_list(project, server)


@pytest.mark.parametrize("server", ["bash", "zsh", "fish", "tcsh"], indirect=True)
def test_a_jobs_terminal_opens(project: ProjectFolder, server: PrivateSshd, request) -> None:
    settings = with_tmux(server, "gpu:proj", Path(server.shell).name, request)
    project.write("requirements.lock", "")
    script = "while true; do echo tick; sleep 0.2; done"
    job = project.inv("remote-run", "--", "sh", "-c", script, **settings).out.strip()
    with inv_in_terminal(project, "remote-attach", **settings) as terminal:
        terminal.until(b"tick")
        assert terminal.end(keys=b"\x02d") == 0
    assert f"{job} stopped" in project.inv("remote-stop", **settings).out


@pytest.mark.parametrize("server", ["bash", "zsh", "fish", "tcsh"], indirect=True)
def test_a_banner_on_standard_output_does_no_harm(
    project: ProjectFolder, server: PrivateSshd
) -> None:
    write_startup(server, BANNER)
    push_and_list(project, server)


@pytest.mark.parametrize("server", ["bash"], indirect=True)
def test_a_banner_that_appears_later_is_noticed(
    project: ProjectFolder, server: PrivateSshd
) -> None:
    settings = {"REMOTE_SSH_CONFIG": str(server.config), "TARGET_DIR": "gpu:later"}
    project.inv("sync-push", **settings)
    (server.home / ".bashrc").write_text(BANNER)
    project.write("src/new.py", "1")
    project.inv("sync-push", **settings)
    assert (server.home / "later/src/new.py").exists()
    project.inv("sync-pull", **settings)


@pytest.mark.parametrize("server", ["bash", "zsh", "fish", "tcsh"], indirect=True)
def test_a_start_up_file_that_goes_elsewhere_does_no_harm(
    project: ProjectFolder, server: PrivateSshd, tmp_path: Path
) -> None:
    write_startup(server, f"cd {tmp_path}\n")
    push_and_list(project, server)
    assert not (tmp_path / ".cache").exists()


@pytest.mark.parametrize("server", ["bash"], indirect=True)
def test_names_are_the_same_where_the_server_speaks_latin_1(
    project: ProjectFolder, server: PrivateSshd, tmp_path: Path, request
) -> None:
    argv = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US")]
    if not shutil.which("localedef") or subprocess.run(argv, capture_output=True).returncode:
        pytest.skip("no locale can be made: sudo apt-get install locales")
    (server.home / ".bashrc").write_text(f"export LOCPATH={tmp_path} LANG=en_US\nunset LC_ALL\n")
    settings = with_tmux(server, "gpu:目標", "latin", request)
    project.write("requirements.lock", "")
    script = 'printf 1 > "残り $1"; printf 2 > "data/results/結果 $1"'
    words = ("remote-run", "--no-record", "--follow", "--pull", "--", "sh", "-c", script, "sh", "é")
    assert "残り é" in project.inv(*words, **settings).text
    assert (project.root / "data/results/結果 é").read_text() == "2"
    assert "fetched 残り é" in project.inv("remote-fetch", "last", **settings).text
