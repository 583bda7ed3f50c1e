"""Connections to a real sshd of the tests' own; Fabric's interface, OpenSSH's wire."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from remote.connection import Connection
from remote.target import Target
from scripts.sshd import PrivateSshd


@pytest.fixture(autouse=True)
def no_paramiko(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may make a connection of paramiko's."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a paramiko transport was made")

    for module in (paramiko, paramiko.transport, paramiko.client):
        monkeypatch.setattr(module, "Transport", refuse)


@pytest.fixture(autouse=True)
def no_keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """pytest's own standard input raises when it is read, as invoke does by default."""
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield


@pytest.fixture
def programs(sshd: PrivateSshd) -> Iterator[Path]:
    """A folder on the server's PATH, for one test."""
    before = sshd.path
    folder = sshd.folder / "programs"
    folder.mkdir()
    sshd.path = f"{folder}:{before}"
    sshd.write_login()
    yield folder
    shutil.rmtree(folder)
    sshd.path = before
    sshd.write_login()


@pytest.fixture
def shell(sshd: PrivateSshd) -> Iterator[Callable[[str], None]]:
    """Changes the login shell, for one test."""
    before = sshd.shell

    def change(name: str) -> None:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed")
        sshd.shell = path
        sshd.write_login()

    yield change
    sshd.shell = before
    sshd.write_login()


@pytest.fixture
def here(sshd: PrivateSshd, tmp_path: Path) -> Iterator[str]:
    """A new folder in the home there, by its name."""
    name = f"connection-{tmp_path.name}-{os.getpid()}"
    (sshd.home / name).mkdir()
    yield name
    shutil.rmtree(sshd.home / name)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Connection]]:
    """Makes connections whose shared login ends with the test."""
    made: list[Connection] = []

    def connection(config: Path, login: str = "gpu") -> Connection:
        made.append(Connection(Target.parse(f"{login}:proj"), str(config)))
        return made[-1]

    yield connection
    for one in made:
        one.close()
        one.ssh.close()


@pytest.fixture
def gpu(make: Callable[..., Connection], sshd: PrivateSshd) -> Connection:
    return make(sshd.config)


@pytest.fixture
def own_config(sshd: PrivateSshd, tmp_path: Path) -> Callable[..., Path]:
    """Makes an ssh_config of the test's own, with a word of the server's replaced."""

    def config(name: str, old: str = "", new: str = "") -> Path:
        path = tmp_path / name
        path.write_text(sshd.config.read_text().replace(old, new))
        return path

    return config
