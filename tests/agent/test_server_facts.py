"""What a server tells of itself: facts only, and nothing is changed by looking."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.agent import server_facts as there
from remote.agent.launchers import logind
from remote.job.messages.target import ExamineRequest
from tests.machine import only, package_index


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with package_index(monkeypatch) as listening:
        yield listening


def test_tools_that_lack_or_do_not_run_have_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: socket.socket
) -> None:
    folder = only(monkeypatch, tmp_path / "few")
    (folder / "rsync").write_text("#!/bin/sh\necho 'cannot run 1.2'; exit 1\n")
    (folder / "tmux").write_text("#!/bin/sh\necho 'tmux next-3.4'\n")
    for name in ("rsync", "tmux"):
        (folder / name).chmod(0o755)
    found = there.examine(ExamineRequest("proj"))
    assert (found.rsync, found.tmux, found.uv) == ("", "3.4", "")
    assert found.gpus == () and found.root == str(Path.home())


def test_gpus_are_told_by_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: socket.socket
) -> None:
    folder = only(monkeypatch, tmp_path / "few")
    (folder / "nvidia-smi").write_text(
        "#!/bin/sh\necho 'Driver/library version mismatch'; exit 18\n"
    )
    (folder / "nvidia-smi").chmod(0o755)
    found = there.examine(ExamineRequest("proj"))
    assert found.gpus == () and "mismatch" in found.gpu_fault


def test_an_index_that_does_not_answer_is_told(
    index: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert there._index() == ("127.0.0.1", True)
    index.close()
    assert there._index() == ("127.0.0.1", False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://[nonsense")
    assert there._index() == ("", True)


def test_the_proxy_counts_where_there_is_one(
    index: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{index.getsockname()[1]}")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://index.invalid/simple")
    assert there._index() == ("127.0.0.1", True)


@pytest.mark.parametrize(("mode", "shared"), [(0o1777, True), (0o777, False), (0o755, False)])
def test_whether_a_folder_is_shared_and_sticky(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: socket.socket, mode: int, shared: bool
) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(mode)
    monkeypatch.setattr(there, "TMP", tmp_path / "tmp")
    assert there.examine(ExamineRequest("proj")).tmp_shared is shared


def test_logind_is_only_looked_at(monkeypatch: pytest.MonkeyPatch, index: socket.socket) -> None:
    def refuse(argv: list[str]) -> None:
        raise AssertionError("it changes what it was to look at")

    monkeypatch.setattr(logind, "answer", refuse)
    monkeypatch.setattr(logind, "in_login", lambda pid: True)
    monkeypatch.setattr(logind, "kills", lambda user: True)
    found = there.examine(ExamineRequest("proj"))
    assert found.logind_kills and not found.lingers
    assert found.user == subprocess.check_output(["id", "-un"], text=True).strip()
