"""Which backups of a pull are kept."""

from __future__ import annotations

import os
from pathlib import Path

from remote.config import Project
from remote.operations.transfers.pull_backups import PulledFiles, old_backups
from remote.transport.rsync_tally import Tally

ODD = ["a.csv", "two words", "日本 語", "\udce4\udcf6.csv", "line\u2028end\x0b"]


def project(folder: Path) -> PulledFiles:
    (folder / "root").mkdir()
    return PulledFiles(folder / "pulled.files", folder / "root")


def test_files_are_known_by_size_and_time(tmp_path: Path) -> None:
    pulled = project(tmp_path)
    for name in ODD:
        (pulled.root / name).write_text(name, "utf-8", "surrogateescape")
    pulled.add(ODD)
    backup = tmp_path / "backup"
    pulled.root.rename(backup)
    os.utime(backup / "two words", (1, 1))
    tally = Tally(replaced=[*ODD, "missing"])
    pulled.drop_unchanged(tally, backup)
    assert tally.replaced == ["two words", "missing"]
    assert os.listdir(backup) == ["two words"]


def test_the_list_holds_each_file_once_in_the_end(tmp_path: Path) -> None:
    pulled = project(tmp_path)
    (pulled.root / "a").write_text("x")
    for number in range(5):
        os.utime(pulled.root / "a", (number, number))
        pulled.add(["a", "a -> link", "gone"])
    with open(pulled.file, "a") as file:
        file.write("12 34")
    pulled.drop_unchanged(Tally(replaced=["b"]), tmp_path / "none")
    assert pulled.file.read_text() == "1 4000000000 a\n"


def test_old_backups_are_those_of_pulls_and_a_day_old(tmp_path: Path) -> None:
    for name in ("pull-1", "pull-2", "adopt-1"):
        (tmp_path / ".remote/backup" / name).mkdir(parents=True)
        (tmp_path / ".remote/backup" / name / "x").write_bytes(bytes(5000))
        os.utime(tmp_path / ".remote/backup" / name, (1, 1) if name != "pull-2" else None)
    ((folder, count),) = old_backups(Project(tmp_path, {}), 1)
    assert folder.name == "pull-1" and count >= 5000
