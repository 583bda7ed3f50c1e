"""Which uv fits which machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from remote.agent.target_dir import CACHE, machine
from remote.config import Project
from remote.errors import TargetError
from remote.job.messages.target import Machine
from remote.operations.bootstrap import bring_uv
from remote.session import TargetSession
from remote.target import Target


def theirs(system: str, name: str, libc: str = "") -> Machine:
    return Machine(system, name, libc, python="3.8", host="gpu")


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (theirs("Linux", "x86_64", "gnu"), "x86_64-manylinux2014"),
        (theirs("Linux", "aarch64", "gnu"), "aarch64-manylinux2014"),
        (theirs("Linux", "x86_64", "musl"), "x86_64-unknown-linux-musl"),
        (theirs("Darwin", "arm64"), "aarch64-apple-darwin"),
        (theirs("Darwin", "x86_64"), "x86_64-apple-darwin"),
    ],
)
def test_a_machine_has_a_name_that_uv_knows(described: Machine, expected: str) -> None:
    assert bring_uv.python_platform(described) == expected


@pytest.mark.parametrize(
    "described",
    [
        theirs("Linux", "x86_64", "gnu"),
        theirs("Linux", "aarch64", "gnu"),
        theirs("Linux", "x86_64", "musl"),
        theirs("Linux", "aarch64", "musl"),
        theirs("Darwin", "arm64"),
        theirs("Darwin", "x86_64"),
    ],
)
def test_uv_itself_takes_the_name(described: Machine, tmp_path: Path) -> None:
    argv = [
        str(bring_uv.own_uv()),
        "pip",
        "install",
        "--dry-run",
        "--offline",
        "--target",
        str(tmp_path),
    ]
    argv += ["--python-platform", bring_uv.python_platform(described), "no-such-package-anywhere"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert "invalid value" not in done.stderr and "no-such-package" in done.stderr


def test_our_own_uv_runs() -> None:
    assert subprocess.run([bring_uv.own_uv(), "--version"], capture_output=True).returncode == 0


@pytest.fixture
def server(tmp_path: Path) -> TargetSession:
    (tmp_path / "proj").mkdir()
    return TargetSession.of(Project(tmp_path / "proj", {}), Target.parse(f"{tmp_path}/target"))


def test_our_own_is_brought_to_a_machine_like_ours(server: TargetSession, isolated: Path) -> None:
    bring_uv.bring(server, machine())
    put = isolated / CACHE / "bin" / "uv"
    assert put.read_bytes() == bring_uv.own_uv().read_bytes()
    assert subprocess.run([put, "--version"], capture_output=True).returncode == 0


def test_one_that_can_not_be_fetched_is_told_with_the_way_by_hand(
    server: TargetSession, isolated: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    other = "aarch64" if machine().machine == "x86_64" else "x86_64"
    with pytest.raises(TargetError) as caught:
        bring_uv.bring(server, theirs("Linux", other, "gnu"))
    assert f"{other}-manylinux2014" in caught.value.message
    assert "~/.local/bin" in caught.value.hint
    assert len(str(caught.value).splitlines()) <= 2
    assert not (isolated / CACHE / "bin" / "uv").exists()
