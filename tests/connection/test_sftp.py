"""Files go there and come back."""

from __future__ import annotations

import io
import os
from pathlib import Path

import fabric
import pytest

from remote.connection import Connection
from remote.errors import ConnectError
from scripts.sshd import PrivateSshd
from tests.waiting import until

NAMES = (
    "plain.txt",
    "two words.txt",
    'it\'s "quoted".txt',
    "-rf",
    "$(touch hit) `touch hit`;#&|",
    "*?[a]{host}\\x",
    "line\nbreak",
    "é€😀",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_goes_there_and_comes_back_whatever_its_name(
    gpu: Connection, sshd: PrivateSshd, here: str, tmp_path: Path, name: str
) -> None:
    source = tmp_path / "from" / name
    source.parent.mkdir()
    source.write_bytes(b"what it says\n")
    source.chmod(0o640)
    sent = gpu.put(str(source), f"{here}/{name}")
    assert (sshd.home / here / name).read_bytes() == b"what it says\n"
    assert (sshd.home / here / name).stat().st_mode & 0o777 == 0o640
    assert isinstance(sent, fabric.transfer.Result)
    assert sent.remote == f"{sshd.home}/{here}/{name}"

    (tmp_path / "back").mkdir()
    got = gpu.get(f"{here}/{name}", tmp_path / "back" / name)
    assert (tmp_path / "back" / name).read_bytes() == b"what it says\n"
    assert (tmp_path / "back" / name).stat().st_mode & 0o777 == 0o640
    assert got.local == str(tmp_path / "back" / name) and got.connection is gpu
    assert not (sshd.home / "hit").exists()


def test_names_default_to_the_files_own(
    gpu: Connection, sshd: PrivateSshd, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"{here} {{braces}}"
    Path(name).write_text("own")
    try:
        gpu.put(name)
        assert (sshd.home / name).read_text() == "own"
        gpu.put(Path(name), here)
        assert (sshd.home / here / name).read_text() == "own"
        Path(name).unlink()
        gpu.get(f"{here}/{name}")
        assert Path(name).read_text() == "own"
    finally:
        (sshd.home / name).unlink()


def test_get_fills_in_the_place(
    gpu: Connection, sshd: PrivateSshd, here: str, tmp_path: Path
) -> None:
    (sshd.home / here / "x").write_text("y")
    gpu.get(f"{here}/x", f"{tmp_path}/{{host}}/")
    assert (tmp_path / "gpu" / "x").read_text() == "y"
    (tmp_path / "{host}").mkdir()
    gpu.get(f"{here}/x", tmp_path / "{host}")
    assert (tmp_path / "{host}" / "x").read_text() == "y"


def test_objects_in_memory_go_and_come(gpu: Connection, sshd: PrivateSshd, here: str) -> None:
    gpu.put(io.BytesIO(b"\0\xff"), f"{here}/object")
    assert (sshd.home / here / "object").read_bytes() == b"\0\xff"
    back = io.BytesIO()
    gpu.get(f"{here}/object", back)
    assert back.getvalue() == b"\0\xff"


def test_a_large_file_goes_there_and_comes_back(
    gpu: Connection, sshd: PrivateSshd, here: str, tmp_path: Path
) -> None:
    data = os.urandom(1 << 20) * 24
    (tmp_path / "large").write_bytes(data)
    gpu.put(tmp_path / "large", f"{here}/large")
    assert (sshd.home / here / "large").read_bytes() == data
    gpu.get(f"{here}/large", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == data


def test_folders_are_refused(gpu: Connection, sshd: PrivateSshd, here: str, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="put copies single files"):
        gpu.put(tmp_path, here)
    with pytest.raises(IsADirectoryError, match="get copies single files"):
        gpu.get(here, tmp_path / "folder")
    assert not (tmp_path / "folder").exists() and not list((sshd.home / here).iterdir())


def test_a_file_that_is_missing_is_named_and_nothing_is_overwritten(
    gpu: Connection, here: str, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(FileNotFoundError, match=f"{here}/missing"):
        gpu.get(f"{here}/missing", tmp_path / "kept")
    assert (tmp_path / "kept").read_text() == "kept"
    with pytest.raises(FileNotFoundError, match="no folder"):
        gpu.put(tmp_path / "kept", f"{here}/no folder/x")
    with pytest.raises(FileNotFoundError, match="not here"):
        gpu.put(tmp_path / "not here", here)


def test_a_transfer_survives_a_login_that_was_lost_before_it(
    gpu: Connection, sshd: PrivateSshd, here: str
) -> None:
    gpu.put(io.BytesIO(b"1"), f"{here}/x")
    session = gpu.sftp()
    gpu.ssh.close()
    until(lambda: session.ended)
    gpu.put(io.BytesIO(b"2"), f"{here}/x")
    assert (sshd.home / here / "x").read_bytes() == b"2"


def test_a_transfer_whose_login_is_lost_is_told(
    gpu: Connection, sshd: PrivateSshd, here: str
) -> None:
    class Endless(io.BytesIO):
        """Gives until the connection is gone."""

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() == 0:
                gpu.ssh.close()
            return b"x" * max(size or 1, 1)

        def seek(self, *args: int) -> int:
            return 0

    with pytest.raises(ConnectError, match="connection was lost"):
        gpu.put(Endless(), f"{here}/endless")
