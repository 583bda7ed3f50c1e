"""What is told of this machine and of a server, with the real agent and programs that lack."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from remote.config import Project
from remote.job.messages.target import ExamineAnswer
from remote.operations import doctor
from remote.operations.doctor import Check
from tests.machine import only, package_index
from tests.stores import empty_store


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in whose folder we are."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "tasks.py").touch()
    (folder / "requirements.lock").touch()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with package_index(monkeypatch) as listening:
        yield listening


def named(checks: Any, name: str) -> Check:
    found = {check.name: check for check in checks}
    assert name in found, sorted(found)
    return found[name]


# This machine


def test_a_machine_that_has_all_has_no_gap(root: Path) -> None:
    project, check = doctor.project_here()
    found = [check, *doctor.laptop(project)]
    assert [check for check in found if not check.ok] == []
    assert project.root == root and named(found, "lock file").message == "requirements.lock"


@pytest.mark.parametrize(("tool", "stops"), [("rsync", True), ("ssh", True), ("git", False)])
def test_a_tool_that_lacks_is_a_gap_with_its_command(
    tool: str, stops: bool, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, tmp_path / "few", *{"rsync", "ssh", "git"} - {tool})
    check = named(doctor.laptop(Project(root, {})), tool)
    assert not check.ok and check.stops is stops and "apt-get install" in check.fix


def test_the_rsync_of_a_mac_will_do(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = only(monkeypatch, tmp_path / "mac", "ssh", "git")
    (folder / "rsync").write_text(
        "#!/bin/sh\ntest $1 = --help && echo '--delete --partial' ||"
        " echo 'openrsync: protocol version 29'\n"
    )
    (folder / "rsync").chmod(0o755)
    checks = list(doctor.laptop(Project(root, {})))
    check, care = named(checks, "rsync"), named(checks, "rsync's care")
    assert not care.ok and not care.stops and "brew install rsync" in care.fix
    assert (
        check.ok and check.message == "openrsync: protocol version 29, an old version: sufficient"
    )


def test_a_project_without_a_lock_file_is_a_gap_that_stops(root: Path) -> None:
    (root / "requirements.lock").unlink()
    check = named(doctor.laptop(Project(root, {})), "lock file")
    assert not check.ok and check.stops and "uv pip compile" in check.fix
    # Where the target has an environment, none is needed.
    (root / "pyproject.toml").write_text('[tool.remote]\npython = "conda:torch"\n')
    project = Project(root, {"TARGET_DIR": "gpu:/proj"})
    assert named(doctor.laptop(project), "environment").message == "python, by pyproject.toml"


def test_settings_that_others_can_read_are_a_gap(root: Path) -> None:
    (root / ".env").write_text("TARGET_DIR=gpu:/proj\n")
    (root / ".env").chmod(0o644)
    _, check = doctor.project_here()
    assert not check.ok and not check.stops and check.fix == f"chmod 600 {root}/.env"
    (root / ".env").chmod(0o600)
    _, check = doctor.project_here()
    assert check.ok


def test_settings_that_can_not_be_read_do_not_stop_the_look(root: Path) -> None:
    (root / ".env").write_bytes(b"\xff\xfe\x00")
    (root / "src").mkdir()
    os.chdir(root / "src")
    project, check = doctor.project_here()
    assert check.stops and ".env can't be read" in check.message and check.fix
    assert project.root == root and named(doctor.laptop(project), "lock file").ok


# The server


def test_a_target_on_this_machine_is_examined_by_the_real_agent(
    root: Path, tmp_path: Path, index: socket.socket
) -> None:
    checks = list(doctor.target(Project(root, {}), f"{tmp_path}/not there/yet"))
    names = ["server", "login shell", "python3", "rsync", "tmux", "uv", "folder", "disk"]
    names += [
        "home's disk",
        "MLflow",
        "records",
        "clock",
        "GPUs",
        "package index",
        "logind",
        "/tmp",
    ]
    assert [check.name for check in checks] == names
    assert named(checks, "python3").message == "{}.{}.{}".format(*sys.version_info)
    assert named(checks, "package index").message == "127.0.0.1 answers"
    assert named(checks, "clock").ok and named(checks, "folder").message.startswith(str(tmp_path))
    assert not (tmp_path / "not there").exists()


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_store_that_a_newer_mlflow_has_opened_is_a_gap(
    where: str, root: Path, tmp_path: Path, index: socket.socket
) -> None:
    folder = tmp_path / "target"
    folder.mkdir()
    store = empty_store({"here": root, "there": folder}[where])
    project = Project(root, {})

    def checks() -> list[Check]:
        return list(
            doctor.laptop(project) if where == "here" else doctor.target(project, folder.as_posix())
        )

    assert [check for check in checks() if not check.ok] == []
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'f00'")
    gaps = [check for check in checks() if not check.ok]
    # The target has no environment yet whose MLflow could refuse it.
    assert [check.name for check in gaps] == [{"here": "mlflow.db", "there": "records"}[where]]
    assert version("mlflow") in gaps[0].message and "make lock" in gaps[0].fix
    if where == "here":
        assert "schema f00" in gaps[0].message and "locks out" in gaps[0].message


def test_a_store_that_the_targets_own_mlflow_refuses_is_a_gap() -> None:
    answer = facts(mlflow="3.16.1", revision="f00", is_refused=True)
    check = named(doctor._there(answer, noisy=False, start=1000, end=1000), "mlflow.db")
    assert not check.ok and "locks out 3.16.1" in check.message


def test_no_target_is_a_gap_that_stops(root: Path) -> None:
    (check,) = doctor.target(Project(root, {}), "")
    assert not check.ok and check.stops and "TARGET_DIR" in check.message and check.fix


def facts(**changed: Any) -> ExamineAnswer:
    found: dict[str, Any] = {
        "now": 1000.0,
        "host": "gpu",
        "python": "3.9.2",
        "rsync": "3.2.3",
        "tmux": "3.1c",
        "uv": "",
        "root": "/proj",
        "writable": True,
        "free": 10**12,
        "home": "/home/alice",
        "home_free": 10**12,
        "index": "pypi.org",
        "index_reachable": True,
        "tmp_shared": True,
        "gpus": ("H100",) * 2,
        "driver": "550.1",
        "gpu_fault": "",
        "user": "alice",
        "logind_kills": False,
        "lingers": False,
    }
    return ExamineAnswer(**{**found, **changed})


def judged(noisy: bool = False, **changed: Any) -> list[Check]:
    return list(doctor._there(facts(**changed), noisy=noisy, start=999.0, end=1001.0))


def test_a_server_that_has_all_has_no_gap() -> None:
    assert [check for check in judged() if not check.ok] == []
    assert named(judged(), "GPUs").message == "2 x H100, driver 550.1"
    assert named(judged(gpus=()), "GPUs").ok


@pytest.mark.parametrize(
    ("name", "changed", "fix", "stops"),
    [
        ("rsync", {"rsync": ""}, "sudo apt-get install -y rsync", True),
        ("tmux", {"tmux": ""}, "sudo apt-get install -y tmux", True),
        ("folder", {"writable": False}, "sudo chown alice /proj", True),
        ("disk", {"free": 5 * 10**9}, "inv remote-prune --older 30d", False),
        ("disk", {"free": 10**6}, "inv remote-prune --older 30d", True),
        ("home's disk", {"home_free": 10**6}, "uv cache prune", True),
        ("clock", {"now": 1100.0}, "timedatectl", False),
        ("clock", {"now": 100.0}, "timedatectl", False),
        ("GPUs", {"gpu_fault": "driver mismatch"}, "nvidia-smi", False),
        (
            "package index",
            {"index": "x", "index_reachable": False},
            "REMOTE_PROXY=laptop",
            False,
        ),
        ("logind", {"logind_kills": True}, "sudo loginctl enable-linger alice", False),
        ("/tmp", {"tmp_shared": False}, "sudo chmod 1777 /tmp", False),
        ("login shell", {"noisy": True}, "case $- in", False),
    ],
)
def test_a_gap_of_the_server_comes_with_the_command_that_closes_it(
    name: str, changed: dict[str, Any], fix: str, stops: bool
) -> None:
    gaps = [check for check in judged(**changed) if not check.ok]
    assert [(gap.name, gap.stops) for gap in gaps] == [(name, stops)]
    assert fix in gaps[0].fix


def test_a_lingering_user_has_nothing_to_fear_from_logind() -> None:
    assert named(judged(logind_kills=True, lingers=True), "logind").ok
