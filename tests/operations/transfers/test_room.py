"""What a push will take on the server's disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.job.messages.target import SPARE
from remote.operations.transfers.room import LargePush, Scales, bytes_below, disk_bytes
from remote.transport.rsync_tally import Tally


def sparse(path: Path, length: int) -> Path:
    with open(path, "wb") as file:
        file.truncate(length)
    return path


def test_a_file_takes_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 400)
    (tmp_path / "link").symlink_to("a")
    assert disk_bytes((tmp_path / "a").lstat()) == 102_400
    assert disk_bytes((tmp_path / "link").lstat()) < 10
    with open(sparse(tmp_path / "holes", 10**9), "r+b") as file:
        file.write(b"begin")
    assert 0 < disk_bytes((tmp_path / "holes").lstat()) < 100_000


def test_files_are_weighed_once_until_they_are_many(tmp_path: Path) -> None:
    half = SPARE // 2
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"x" * half)
    scales, tally = Scales(tmp_path), Tally(sent=["a"])
    scales.weigh(tally)
    scales.weigh(tally)
    assert scales.bytes == half
    tally.sent += ["b", "link -> a"]
    scales.weigh(tally)
    tally.sent += ["c"]
    with pytest.raises(LargePush):
        scales.weigh(tally)


def test_what_fits_is_weighed_no_more(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (SPARE + 1))
    scales, tally = Scales(tmp_path, lambda: True), Tally(sent=["a"])
    scales.weigh(tally)
    tally.sent += ["missing", "a"]
    scales.weigh(tally)
    assert scales.is_weighed


def test_a_whole_project_is_counted_by_folder_without_what_is_never_sent(tmp_path: Path) -> None:
    for name in ("a", "b/c/d/e/f/g", "b/c/d/e/f/h", "data/results/r", "data/raw/x"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"1234")
    (tmp_path / "link").symlink_to("data")
    needs = bytes_below(tmp_path, ["data/results"])
    assert needs.keys() == {"", "b/c/d/e", "data/raw"}
    assert needs["b/c/d/e"] == 8 and needs["data/raw"] == 4
