"""A name of the kernel's is one process's, however its path is spelled, and ends with that process."""

from __future__ import annotations

import errno
import socket
import subprocess
from pathlib import Path

import pytest

from remote.agent.gpus import kernel_names
from tests.agent.gpus.jobs import Start

HOLD = """if True:
    import sys
    from pathlib import Path
    from remote.agent.gpus import kernel_names
    name = kernel_names.take(Path(sys.argv[1]))
    print("got", flush=True)
    sys.stdin.read()
"""


def test_a_name_is_taken_until_its_process_dies(tmp_path: Path, start: Start) -> None:
    path = tmp_path / ("x" * 200)
    holder = start(HOLD, path, stdin=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline() == "got\n"
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    assert kernel_names.take(path) is None and kernel_names.is_taken(link / path.name)
    holder.kill()
    holder.wait()
    assert not kernel_names.is_taken(path)
    mine = kernel_names.take(path)
    assert mine is not None and kernel_names.is_taken(path)
    mine.close()
    assert not kernel_names.is_taken(path) and not list(tmp_path.glob("x*"))


def test_a_system_without_such_names_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, name: str) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    name = kernel_names.take(tmp_path / "x")
    assert name is not None
    name.close()


def test_where_the_kernel_lists_no_names_each_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = kernel_names.take(tmp_path / "a")
    assert name and kernel_names.is_taken(tmp_path / "a")
    monkeypatch.setattr(kernel_names, "SOCKETS", tmp_path / "none")
    assert kernel_names.is_taken(tmp_path / "a") and not kernel_names.is_taken(tmp_path / "b")
    name.close()
