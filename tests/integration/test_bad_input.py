"""What goes wrong gets a clear message, a non-zero exit code, and changes nothing."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd, free_port, running
from tests.conftest import Command, ProjectFolder
from tests.integration import notebooks
from tests.waiting import until


def refused(command: Command, *words: str) -> None:
    """The command failed, said `words`, in few lines, and showed no traceback."""
    assert command.code != 0, command.text
    for word in words:
        assert word in command.err, command.err
    assert "Traceback" not in command.text
    assert len(command.err.strip().splitlines()) <= 3, command.err


def test_no_target(project: ProjectFolder) -> None:
    del project.env["TARGET_DIR"]
    for task in ("sync-push", "sync-pull", "remote-ps"):
        refused(project.inv(task, check=False), "TARGET_DIR is not set", "TARGET_DIR=user@host:")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("gpu:", "home folder itself"),
        ("gpu:/", "whole server"),
        ("user@gpu", "folder is missing"),
        ("-oProxyCommand=x:/d", "starts with a dash"),
        ("gpu::module/x", "daemons"),
        ("[::1]/x", "colon"),
        ("a b:/x", "host"),
    ],
)
def test_a_target_that_cannot_be_parsed(project: ProjectFolder, target: str, words: str) -> None:
    refused(project.inv("sync-push", TARGET_DIR=target, check=False), words)


def test_an_unknown_host(project: ProjectFolder) -> None:
    done = project.inv("sync-push", TARGET_DIR="no-such-host.invalid:/x", check=False)
    refused(done, "no-such-host.invalid", "ssh")


def test_nobody_listens(project: ProjectFolder, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host gpu\n HostName 127.0.0.1\n Port {free_port()}\n")
    done = project.inv("sync-push", REMOTE_SSH_CONFIG=str(config), check=False)
    refused(done, "no SSH server listens", "port")


def test_a_refused_key(project: ProjectFolder, sshd: PrivateSshd, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    config = tmp_path / "config"
    config.write_text(sshd.config.read_text().replace(str(sshd.folder / "client_key"), str(key)))
    done = project.inv("sync-push", REMOTE_SSH_CONFIG=str(config), check=False)
    refused(done, "refuses the login", "ssh-copy-id")


def test_a_wrong_host_key(project: ProjectFolder, sshd: PrivateSshd, tmp_path: Path) -> None:
    (tmp_path / "key").unlink(missing_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True
    )
    known = tmp_path / "known_hosts"
    known.write_text(
        f"[127.0.0.1]:{sshd.port} " + (tmp_path / "key.pub").read_text().rsplit(" ", 1)[0] + "\n"
    )
    config = tmp_path / "config"
    config.write_text(sshd.config.read_text().replace(str(sshd.folder / "known_hosts"), str(known)))
    done = project.inv("sync-push", REMOTE_SSH_CONFIG=str(config), check=False)
    refused(done, "host key", "fingerprint")
    assert not list(sshd.home.glob("target-*wrong*"))


@pytest.fixture
def poor_server(sshd: PrivateSshd, tmp_path: Path, request) -> Iterator[PrivateSshd]:
    """A server whose PATH lacks one program."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for folder in ("/bin", "/usr/bin"):
        for path in Path(folder).iterdir():
            link = tools / path.name
            is_python = path.name.startswith("python") and request.param == "python3"
            if path.name != request.param and not is_python and not link.is_symlink():
                link.symlink_to(path)
    own = dataclasses.replace(
        sshd,
        folder=tmp_path / "sshd",
        home=tmp_path / "server",
        path=str(tools),
        port=0,
        # A Python that can be downloaded would be.
        settings={**sshd.settings, "UV_OFFLINE": "1"},
    )
    with running(own):
        yield own


@pytest.mark.parametrize("poor_server", ["rsync", "tmux", "python3"], indirect=True)
def test_a_server_without_a_program(
    project: ProjectFolder, poor_server: PrivateSshd, request
) -> None:
    missing = request.node.callspec.params["poor_server"]
    settings = {"REMOTE_SSH_CONFIG": str(poor_server.config), "TARGET_DIR": "gpu:proj"}
    done = project.inv("sync-push", check=False, **settings)
    refused(done, f"The server lacks {missing}", "install", missing)
    assert not (poor_server.home / "proj").exists()


@pytest.mark.parametrize("poor_server", ["rsync"], indirect=True)
def test_rsync_that_vanished_from_a_known_server(
    project: ProjectFolder, poor_server: PrivateSshd
) -> None:
    settings = {"REMOTE_SSH_CONFIG": str(poor_server.config), "TARGET_DIR": "gpu:proj"}
    link = Path(poor_server.path) / "rsync"
    link.symlink_to(str(shutil.which("rsync")))
    project.inv("sync-push", **settings)
    # A pull asks for outputs that hold something.
    (poor_server.home / "proj/data/results").mkdir(parents=True, exist_ok=True)
    (poor_server.home / "proj/data/results/a.csv").touch()
    link.unlink()
    for task in ("sync-push", "sync-pull"):
        refused(project.inv(task, check=False, **settings), "The server lacks rsync")


def test_a_file_is_in_the_way(project: ProjectFolder, sshd: PrivateSshd) -> None:
    (sshd.home / "a-file").write_text("precious")
    done = project.inv("sync-push", TARGET_DIR="gpu:a-file", check=False)
    refused(done, "is a file, not a folder", "Name another folder")
    done = project.inv("sync-push", TARGET_DIR="gpu:a-file/below", check=False)
    refused(done, "a-file")
    assert (sshd.home / "a-file").read_text() == "precious"


def test_the_home_itself_is_no_target(project: ProjectFolder, sshd: PrivateSshd) -> None:
    refused(project.inv("sync-push", TARGET_DIR=f"gpu:{sshd.home}", check=False), "home folder")
    refused(project.inv("sync-push", TARGET_DIR=f"gpu:{sshd.folder}", check=False), "home")


def test_pulling_before_pushing(project: ProjectFolder) -> None:
    refused(project.inv("sync-pull", check=False), "does not exist yet", "make sync-push")
    refused(project.inv("remote-ps", check=False), "not pushed to yet", "make sync-push")


def test_the_project_itself_is_no_target(project: ProjectFolder) -> None:
    for target in (".", "./src", ".."):
        refused(project.inv("sync-push", TARGET_DIR=target, check=False), "this project")


def test_notebooks_and_parameters_that_are_not_there(
    project: ProjectFolder, target_root: Path
) -> None:
    project.write("src/notebooks/train.ipynb", notebooks.PLAIN)
    project.write("src/notebooks/broken.ipynb", "{")
    cases = [
        (["trian.ipynb"], ["no notebook 'trian.ipynb'", "Did you mean train.ipynb?"]),
        (["broken.ipynb"], ["can't be read as a notebook"]),
        (["train.ipynb", "--epochs", "3"], ["no parameter 'epochs'", "Did you mean epoch?"]),
        (["train.ipynb", "--epoch", "three"], ["takes a whole number (int), not 'three'"]),
        (["train.ipynb", "--ratio", "1,5"], ["takes a number (float)"]),
        (["train.ipynb", "--shuffle=perhaps"], ["true or false"]),
        (["train.ipynb", "--layers", "{}"], ["takes a list"]),
    ]
    for words, said in cases:
        refused(project.inv("remote-run", *words, check=False), *said)
    assert not target_root.exists()


def test_a_notebook_that_is_not_pushed(project: ProjectFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside.ipynb"
    outside.write_text(notebooks.PLAIN)
    refused(project.inv("remote-run", str(outside), check=False), "outside of the project")
    project.write("src/notebooks/train.ipynb", notebooks.PLAIN)
    project.write(".rsyncignore", "*.ipynb\n")
    refused(project.inv("remote-run", "train.ipynb", check=False), "not pushed", ".rsyncignore")


def test_a_project_without_a_lock_file(project: ProjectFolder, target_root: Path) -> None:
    project.write("src/notebooks/train.ipynb", notebooks.PLAIN)
    (project.root / "requirements.lock").unlink()
    refused(project.inv("remote-run", "train.ipynb", check=False), "no lock file", "uv pip compile")
    assert not list((target_root / ".remote/jobs").iterdir())


def test_jobs_that_are_not_there(project: ProjectFolder) -> None:
    project.inv("sync-push")
    for task in ("remote-logs", "remote-stop"):
        refused(project.inv(task, "nope", check=False), "no job")


def test_an_ignore_file_that_would_switch_the_protection_off(project: ProjectFolder) -> None:
    project.write(".rsyncignore", "*.tmp\n!\n")
    refused(project.inv("sync-push", check=False), ".rsyncignore line 2")


@pytest.fixture
def small_disk(sshd: PrivateSshd) -> Iterator[Path]:
    """A folder on the server with room for two megabytes."""
    folder = sshd.home / "small"
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a full disk needs a mount of its own, which only root may make")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("task", ["sync-push", "sync-pull"])
def test_a_project_that_can_not_be_written_to(project: ProjectFolder, task: str) -> None:
    state = project.root / ".remote"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(state)]
    if os.getuid():
        state.chmod(0o555)
    elif subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk that is read-only needs a mount of its own")
    try:
        refused(project.inv(task, check=False), f"This machine refuses {state}", "chmod u+w")
    finally:
        subprocess.run(["umount", "-l", str(state)], capture_output=True)


def test_a_full_disk_on_the_server(project: ProjectFolder, small_disk: Path) -> None:
    target = {"TARGET_DIR": "gpu:small/proj"}
    project.write("src/a.py", "old")
    project.inv("sync-push", **target)
    project.write("src/a.py", "new, and longer")
    (project.root / "src/big.bin").write_bytes(os.urandom(4_000_000))
    refused(project.inv("sync-push", check=False, **target), "disk", "full")
    assert (small_disk / "proj/src/a.py").read_text() == "old"
    assert not (small_disk / "proj/src/big.bin").exists()
    (project.root / "src/big.bin").unlink()
    project.inv("sync-push", **target)
    assert (small_disk / "proj/src/a.py").read_text() == "new, and longer"


def test_a_full_disk_when_a_job_is_submitted(project: ProjectFolder, small_disk: Path) -> None:
    target = {"TARGET_DIR": "gpu:small/proj"}
    project.write("src/notebooks/train.ipynb", notebooks.PLAIN)
    project.inv("sync-push", **target)
    with open(small_disk / "filler", "wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(b"\0" * 4096)
    done = project.inv("remote-run", "train.ipynb", check=False, **target)
    refused(done, "No space left")
    assert not list((small_disk / "proj/.remote/jobs").iterdir())


def test_ctrl_c_in_the_middle_of_a_push(project: ProjectFolder, target_root: Path) -> None:
    project.write("src/a.py", "old")
    project.inv("sync-push")
    project.write("src/a.py", "new")
    (project.root / "src/gone.py").write_text("")
    with open(project.root / "src/big.bin", "wb") as big:
        for _ in range(20):
            big.write(os.urandom(10_000_000))
    push = project.start("sync-push")
    until(lambda: list((target_root / ".remote/partial").rglob("big.bin.*")))
    push.send_signal(signal.SIGINT)
    out, err = push.communicate(timeout=60)
    assert push.returncode == 130, err
    assert "Interrupted" in err and "Traceback" not in err
    assert (target_root / "src/a.py").read_text() == "old"
    assert not (target_root / "src/big.bin").exists()
    project.inv("sync-push")
    assert (target_root / "src/a.py").read_text() == "new"
    assert (target_root / "src/big.bin").stat().st_size == 200_000_000
